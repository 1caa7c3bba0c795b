/* Whether the buyer's bank has the money of a dispute, for now or for good. */
create or replace function is_open(p_dispute_state text) returns boolean
language sql immutable parallel safe as $$
    select p_dispute_state in ('needs_response', 'under_review')
$$;

/* What of a payment could still be given back: what was refunded, at the gateway or otherwise, or is
   disputed, cannot. */
create or replace function refundable(p_payment uuid) returns bigint
language sql stable as $$
    select greatest(0, p.captured - p.refunded - coalesce((
        select sum(d.amount) from disputes d
        where d.payment_id = p.id and (is_open(d.state) or d.state = 'lost')), 0)
        - coalesce((
        select sum(r.amount) from refunds r
        where r.payment_id = p.id and r.settled_at is not null), 0))::bigint
    from payments p where p.id = p_payment
$$;

/* What was owed because a refund failed, and the buyer's bank has taken by a dispute that is lost: paid
   with that, or whoever settles it pays twice. Where it took less, a person decides. The caller has
   locked the booking. */
create or replace function settle_by_disputes(p_payment uuid) returns void
language plpgsql set enable_seqscan = off as $$
declare
    owed record;
begin
    for owed in
        select r.id, d.gateway_id from refunds r
        join lateral (select min(gateway_id) as gateway_id, sum(amount) as amount from disputes
                      where payment_id = p_payment and state = 'lost') d on d.amount >= r.amount
        where r.payment_id = p_payment and r.state = 'failed' and r.retried_by is null
            and r.settled_at is null and r.amount > refundable(p_payment)
            and not has_open_dispute(p_payment)
        order by r.id for update of r
    loop
        update refunds set settled_at = clock_timestamp(),
            settlement = 'taken by the buyer''s bank: dispute ' || owed.gateway_id
        where id = owed.id;
        perform resolve_owed(owed.id, 'taken by the buyer''s bank');
    end loop;
end $$;

/* Whether a payment's bank suspects fraud, and nobody has decided about it. */
create or replace function is_suspect(p_payment uuid) returns boolean language sql stable as $$
    select exists (select from fraud_warnings
                   where payment_id = p_payment and actionable and released_at is null)
$$;

/* Writes down what a dispute is now, and has its booking follow: frozen while one is open; cancelled, its
   tickets void and its seats back on sale, when one is lost; else confirmed as before. The buyer is told.
   outcome: 'done', or 'not_yet': the booking is being confirmed, and nothing was changed. */
create or replace function record_dispute(
    p_payment uuid, p_id text, p_state text, p_reason text, p_amount bigint, p_currency text,
    p_respond_by timestamptz, out outcome text, out booking_state text)
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    b bookings;
    open boolean;
    lost boolean;
    places integer[];
begin
    select k.* into b from payments p
    join bookings k on k.event_id = p.event_id and k.id = p.booking_id
    where p.id = p_payment for update of k;
    outcome := 'done'; booking_state := b.state;
    if b.state in ('held', 'authorising', 'expiring', 'review', 'secured') and b.payment_id = p_payment then
        outcome := 'not_yet';
        return;
    end if;
    insert into disputes (gateway_id, payment_id, event_id, booking_id, state, reason, amount, currency,
        respond_by)
    values (p_id, p_payment, b.event_id, b.id, p_state, p_reason, p_amount, p_currency, p_respond_by)
    on conflict (gateway_id) do update
        set state = excluded.state, reason = excluded.reason, amount = excluded.amount,
            respond_by = excluded.respond_by, updated_at = clock_timestamp();
    select bool_or(is_open(d.state)), bool_or(d.state = 'lost') into open, lost
    from disputes d where d.event_id = b.event_id and d.booking_id = b.id and d.payment_id = b.payment_id;
    if open and b.state = 'confirmed' then
        perform freeze_booking(b.event_id, b.id);
    elsif not open and lost and b.state in ('confirmed', 'frozen') then
        places := array(select seat from booking_items where event_id = b.event_id
                            and booking_id = b.id and returned_at is null);
        perform return_seats(b.event_id, array_fill(b.id, array[cardinality(places)]), places, true,
            'dispute_lost');
        perform keep_the_rest(array[b.payment_id]);
        perform notify_buyers(b.event_id, array[b.id], 'dispute_lost');
    elsif not open and b.state = 'frozen' and not is_suspect(p_payment) then
        perform thaw_booking(b.event_id, b.id);
    end if;
    if lost then
        perform settle_by_disputes(p_payment);
    end if;
    select state into booking_state from bookings where event_id = b.event_id and id = b.id;
end $$;

/* Puts the tickets of a confirmed booking, which the caller has locked, on hold. */
create or replace function freeze_booking(p_event bigint, p_booking uuid) returns void
language plpgsql as $$
begin
    update bookings set state = 'frozen'
    where event_id = p_event and id = p_booking and state = 'confirmed';
    if found then
        perform notify_buyers(p_event, array[p_booking], 'on_hold');
    end if;
end $$;

/* The tickets are good again; or, where the event was cancelled meanwhile, can be given back now. */
create or replace function thaw_booking(p_event bigint, p_booking uuid) returns void
language plpgsql as $$
begin
    update bookings set state = 'confirmed'
    where event_id = p_event and id = p_booking and state = 'frozen';
    perform enqueue('cancel_event', 'bookings', event_id::text,
        jsonb_build_object('event_id', event_id), event_id)
    from event_cancellations where event_id = p_event;
    if not found then
        perform notify_buyers(p_event, array[p_booking], 'released');
    end if;
end $$;

/* A payment of which fraud is suspected. Returns its booking's state, null: it is being confirmed, and
   nothing was changed. */
create or replace function hold_suspect(p_payment uuid) returns text
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
begin
    select k.* into b from payments p
    join bookings k on k.event_id = p.event_id and k.id = p.booking_id
    where p.id = p_payment for update of k;
    if b.state in ('held', 'authorising', 'expiring', 'review', 'secured')
            and b.payment_id = p_payment then
        return null;
    end if;
    if b.state = 'confirmed' and b.payment_id = p_payment and is_suspect(p_payment) then
        perform freeze_booking(b.event_id, b.id);
        return 'frozen';
    end if;
    return b.state;
end $$;

/* An organiser has found nothing wrong, for all that the bank suspects. p_scope: the caller's
   organisation, null for all. outcome: 'done', 'no_booking', 'not_frozen', 'disputed'. */
create or replace function release_suspect(
    p_event bigint, p_scope bigint, p_booking uuid, p_reason text,
    out outcome text, out booking_state text)
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state <> 'frozen' then 'not_frozen'
        when not is_suspect(b.payment_id) then 'disputed'
        else 'done' end;
    booking_state := b.state;
    if outcome <> 'done' then
        return;
    end if;
    update fraud_warnings set released_at = clock_timestamp()
    where payment_id = b.payment_id and actionable and released_at is null;
    if not has_open_dispute(b.payment_id) then
        perform thaw_booking(p_event, p_booking);
        booking_state := 'confirmed';
    end if;
    insert into audit_log (actor, action, event_id, detail)
    values (coalesce(nullif(current_setting('usher.actor', true), ''), current_user), 'booking released',
        p_event, jsonb_build_object('booking_id', p_booking, 'reason', p_reason));
end $$;

/* Whether the buyer's bank has money of a payment until it has decided. */
create or replace function has_open_dispute(p_payment uuid) returns boolean language sql stable as $$
    select exists (select from disputes d where d.payment_id = p_payment and is_open(d.state))
$$;
