/* Takes seats of confirmed bookings back, p_seats[j] from p_bookings[j]: tickets void, seats free or,
   where they are not to be sold again, blocked, the buyers' counters lower. A booking that has none left
   is cancelled. The caller has locked the bookings, in the order of their ids. */
create or replace function return_seats(
    p_event bigint, p_bookings uuid[], p_seats integer[], p_resell boolean, p_reason text)
returns void language plpgsql set jit = off set enable_seqscan = off as $$
begin
    perform from seats where event_id = p_event and seat = any (p_seats) order by seat for update;
    update booking_items i set returned_at = clock_timestamp()
    from unnest(p_bookings, p_seats) r(booking, seat)
    where i.event_id = p_event and i.booking_id = r.booking and i.seat = r.seat;
    update tickets t set state = 'void', voided_at = clock_timestamp()
    from unnest(p_bookings, p_seats) r(booking, seat)
    where t.event_id = p_event and t.booking_id = r.booking and t.seat = r.seat and t.state = 'valid';
    update seats s set state = case when p_resell then 'free' else 'blocked' end, booking_id = null
    from unnest(p_bookings, p_seats) r(booking, seat)
    where s.event_id = p_event and s.seat = r.seat and s.booking_id = r.booking;
    perform from buyer_seats where event_id = p_event and buyer_id = any (array(
        select buyer_id from bookings where event_id = p_event and id = any (p_bookings)))
    order by buyer_id for update;
    update buyer_seats c set seats = c.seats - r.seats
    from (select b.buyer_id, count(*) as seats
          from unnest(p_bookings) r(booking)
          join bookings b on b.event_id = p_event and b.id = r.booking
          group by b.buyer_id) r
    where c.event_id = p_event and c.buyer_id = r.buyer_id;
    update bookings b set state = 'cancelled', ended_at = clock_timestamp(), reason = p_reason
    where b.event_id = p_event and b.id = any (p_bookings) and b.state in ('confirmed', 'frozen')
        and not exists (select from booking_items i where i.event_id = b.event_id
                        and i.booking_id = b.id and i.returned_at is null);
    if p_resell then
        insert into lane_wakes (event_id) values (p_event);
    end if;
end $$;

/* Writes refunds, p_amounts[j] of p_payments[j], with the exact parameters that the gateway will get and
   the tasks that carry them out, the j-th p_spread * j seconds from now. Returns their ids, in order. */
create or replace function write_refunds(
    p_payments uuid[], p_amounts bigint[], p_cause text, p_reason text,
    p_spread double precision default 0)
returns uuid[] language plpgsql set jit = off set enable_seqscan = off as $$
declare
    ids constant uuid[] := array(select uuid7() from generate_series(1, cardinality(p_payments)));
begin
    insert into refunds (id, payment_id, event_id, booking_id, amount, currency, reason, cause,
        requested_by, params)
    select w.id, p.id, p.event_id, p.booking_id, w.amount, coalesce(p.captured_currency, p.currency),
        p_reason, p_cause,
        coalesce(nullif(current_setting('usher.actor', true), ''), current_user),
        jsonb_build_object(
            'payment_intent', p.gateway_id,
            'amount', w.amount,
            'reason', 'requested_by_customer',
            'metadata', jsonb_build_object('event_id', p.event_id::text,
                'booking_id', p.booking_id::text, 'payment_id', p.id::text, 'refund_id', w.id::text))
    from unnest(ids, p_payments, p_amounts) w(id, payment, amount)
    join payments p on p.id = w.payment;
    perform enqueue('refund', 'bookings', w.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', w.id),
        r.event_id, clock_timestamp() + make_interval(secs => p_spread * (w.place - 1)), 80)
    from unnest(ids) with ordinality w(id, place) join refunds r on r.id = w.id;
    return ids;
end $$;

/* After a decision about a booking that has ended, what is neither given back, owed nor lost
   is kept. */
create or replace function keep_the_rest(p_payments uuid[]) returns void
language sql set enable_seqscan = off as $$
    update payments p
    set kept = greatest(0, p.captured - p.refunded - coalesce((
        select sum(r.amount) from refunds r
        where r.payment_id = p.id and r.state = 'failed' and r.retried_by is null), 0)
        - coalesce((select sum(d.amount) from disputes d
                    where d.payment_id = p.id and d.state = 'lost'), 0))
    from bookings b
    where p.id = any (p_payments) and b.event_id = p.event_id and b.id = p.booking_id
        and b.state in ('expired', 'cancelled', 'failed');
$$;

/* An organiser gives money back: for the given tickets, for all (p_tickets and p_amount null), or an
   amount alone. What the tickets cost, or p_amount; never more than is left of what was captured: of the
   payment that the tickets were bought with; for an amount alone, of another (money that came oddly) once
   that has nothing left. With the fees, the booking's own goes back with its last ticket.
   p_scope: the caller's organisation, null for all. outcome: 'done', or why not: 'no_booking',
   'disputed', 'not_confirmed', 'no_such_tickets', 'not_a_multiple' (of what its currency can be paid
   in), 'too_much'. refund_id: null where nothing is to be
   given back, as for free tickets. available: what could have been given back. returned: the tickets
   that are void now. */
create or replace function request_refund(
    p_event bigint, p_scope bigint, p_booking uuid, p_tickets uuid[], p_amount bigint,
    p_with_fees boolean, p_reason text, p_resell boolean,
    out outcome text, out refund_id uuid, out booking_state text, out available bigint,
    out returned uuid[])
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    b bookings;
    paid payments;
    places integer[];
    costs bigint[];
    amount bigint;
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    select * into paid from payments p where p.event_id = p_event and p.booking_id = p_booking
    order by (p.id = b.payment_id and (p_amount is null or p.captured > p.refunded)) desc,
        p.captured - p.refunded desc limit 1;
    select array_agg(t.seat order by t.seat), array_agg(t.id order by t.seat),
        array_agg(i.price + case when p_with_fees then i.fee else 0 end order by t.seat),
        sum(i.price + case when p_with_fees then i.fee else 0 end)
            + case when p_with_fees and count(*) = (
                  select count(*) from booking_items k where k.event_id = p_event
                      and k.booking_id = p_booking and k.returned_at is null)
              then b.fee else 0 end
    into places, returned, costs, amount
    from tickets t
    join booking_items i on i.event_id = t.event_id and i.booking_id = t.booking_id
        and i.seat = t.seat
    where t.event_id = p_event and t.booking_id = p_booking and t.state = 'valid'
        and (t.id = any (p_tickets) or p_tickets is null and p_amount is null);
    booking_state := b.state;
    available := coalesce(refundable(paid.id), 0);
    amount := coalesce(p_amount, least(amount, available));
    outcome := case
        when b.id is null then 'no_booking'
        when b.state = 'frozen' and has_open_dispute(b.payment_id) then 'disputed'
        when b.state not in ('confirmed', 'frozen') and (p_amount is null or p_tickets is not null)
            then 'not_confirmed'
        when cardinality(p_tickets) <> coalesce(cardinality(returned), 0) then 'no_such_tickets'
        when amount % (select step from currencies where code = b.currency) <> 0 then 'not_a_multiple'
        when amount > available then 'too_much'
        else 'done' end;
    if outcome <> 'done' then
        return;
    end if;
    if places is not null then
        perform return_seats(p_event, array_fill(p_booking, array[cardinality(places)]), places,
            p_resell, 'refunded');
        select state into booking_state from bookings where event_id = p_event and id = p_booking;
    end if;
    if amount > 0 then
        refund_id := (write_refunds(array[paid.id], array[amount], 'asked', p_reason))[1];
        insert into refund_items (event_id, refund_id, booking_id, seat, amount)
        select p_event, request_refund.refund_id, p_booking, place, cost
        from unnest(places, share_out(amount, costs)) r(place, cost);
    end if;
    perform keep_the_rest(array[paid.id]);
end $$;

/* The dead letter of a refund that failed needs nobody any more. */
create or replace function resolve_owed(p_refund uuid, p_resolution text) returns void
language sql as $$
    update dead_letters set resolved_at = clock_timestamp(), resolution = p_resolution
    where args ->> 'refund_id' = p_refund::text and resolved_at is null;
$$;

/* A refund that failed is owed: p_settlement says how it was paid otherwise; null: it is tried anew, as
   another refund. outcome: 'done', 'no_refund', 'not_owed', 'too_much'. */
create or replace function settle_owed(
    p_event bigint, p_scope bigint, p_booking uuid, p_refund uuid, p_settlement text,
    out outcome text, out refund_id uuid)
language plpgsql set enable_seqscan = off as $$
declare
    r refunds;
    paid payments;
begin
    perform from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    if found then
        select * into r from refunds
        where event_id = p_event and booking_id = p_booking and id = p_refund for update;
        select * into paid from payments where id = r.payment_id;
    end if;
    outcome := case
        when r.id is null then 'no_refund'
        when r.state <> 'failed' or r.retried_by is not null or r.settled_at is not null
            then 'not_owed'
        when p_settlement is null and r.amount > refundable(paid.id) then 'too_much'
        else 'done' end;
    refund_id := p_refund;
    if outcome <> 'done' then
        return;
    elsif p_settlement is not null then
        update refunds set settled_at = clock_timestamp(), settlement = p_settlement
        where id = p_refund;
    else
        refund_id := (write_refunds(array[r.payment_id], array[r.amount], r.cause, r.reason))[1];
        update refunds set retried_by = settle_owed.refund_id where id = p_refund;
        update refund_items i set refund_id = settle_owed.refund_id where i.refund_id = p_refund;
    end if;
    perform resolve_owed(p_refund, coalesce(p_settlement, 'tried anew'));
end $$;

/* The buyer is told that a refund went through, with the seats that it was for. */
create or replace function tell_of_refund(p_refund uuid, p_template text) returns void
language sql set enable_seqscan = off as $$
    with written as (
        insert into emails (event_id, booking_id, refund_id, buyer_id, template, context)
        select r.event_id, r.booking_id, r.id, b.buyer_id, p_template, jsonb_build_object(
            'amount', r.amount, 'currency', r.currency, 'returned', coalesce((
                select jsonb_agg(jsonb_build_object('zone', s.zone, 'row', s.row_label,
                    'number', s.number) order by s.seat)
                from refund_items i
                join events e on e.id = i.event_id
                join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = i.seat
                where i.refund_id = r.id), '[]'))
        from refunds r join bookings b on b.event_id = r.event_id and b.id = r.booking_id
        where r.id = p_refund
        on conflict do nothing
        returning id, event_id
    )
    insert into outbox (actor, queue, args, event_id)
    select 'send_email', 'mail', jsonb_build_object('email_id', id), event_id from written;
$$;

/* Money that nobody can have seats for goes back, all of it, once; the buyer is told. */
create or replace function return_money(p_payment uuid, p_reason text) returns void
language plpgsql set enable_seqscan = off as $$
declare
    left_over bigint;
begin
    perform from payments where id = p_payment for update;
    left_over := refundable(p_payment);
    if left_over = 0 or exists (
            select from refunds where payment_id = p_payment and cause = 'odd_money') then
        return;
    end if;
    perform tell_of_refund(id, 'money_returned')
    from unnest(write_refunds(array[p_payment], array[left_over], 'odd_money', p_reason)) id;
end $$;
