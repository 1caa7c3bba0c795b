/* Cancels a batch of an event's bookings. taken: how many confirmed bookings were cancelled; under_way:
   how many have not ended yet. The saga ends or confirms those that are being paid. */
create or replace function cancel_batch(
    p_event bigint, p_limit integer, p_spread double precision,
    out taken integer, out under_way integer)
language plpgsql as $$
declare
    c event_cancellations;
begin
    perform end_unpaid(p_event, p_limit);
    select * into c from event_cancellations where event_id = p_event for update;
    taken := refund_bookings(p_event, p_limit, c.reason, c.with_fees, p_spread);
    select count(*) into under_way from bookings
    where event_id = p_event
        and state in ('held', 'authorising', 'expiring', 'review', 'secured', 'confirmed');
    update event_cancellations
    set finished_at = case when under_way = 0 then clock_timestamp() end
    where event_id = p_event;
end $$;

/* Ends bookings that are not paid, p_limit at most. Held ones end at once; those that are being paid or
   in review end when the saga has asked the gateway. */
create or replace function end_unpaid(p_event bigint, p_limit integer) returns void
language plpgsql set jit = off as $$
declare
    ids uuid[];
begin
    ids := array(select id from bookings where event_id = p_event and state in ('authorising', 'review')
                 order by id limit p_limit);
    perform wake_sagas(p_event, ids);
    perform from bookings where event_id = p_event and id = any (ids) order by id for update;
    ids := array(select id from bookings where event_id = p_event and id = any (ids)
                     and state in ('authorising', 'review'));
    update bookings set state = 'expiring', reason = 'event_cancelled'
    where event_id = p_event and id = any (ids) and state in ('authorising', 'review');

    ids := array(select id from bookings where event_id = p_event and state = 'held'
                 order by id limit p_limit for update);
    perform release_seats(p_event, ids);
    update bookings set state = 'cancelled', ended_at = clock_timestamp(), reason = 'event_cancelled'
    where event_id = p_event and id = any (ids) and state = 'held';
    perform notify_buyers(p_event, ids, 'event_cancelled');
end $$;

/* Cancels confirmed bookings, p_limit at most, and refunds them. p_with_fees: the fees are refunded as
   well, including the booking's own. The j-th refund is sent p_spread * j seconds from now. Returns how
   many bookings there were. */
create or replace function refund_bookings(
    p_event bigint, p_limit integer, p_reason text, p_with_fees boolean, p_spread double precision)
returns integer language plpgsql
set jit = off set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
declare
    ids constant uuid[] := array(
        select id from bookings where event_id = p_event and state = 'confirmed'
        order by id limit p_limit for update);
    owners uuid[]; places integer[]; costs bigint[];
    paid uuid[]; amounts bigint[];
    refund_ids uuid[];
begin
    select array_agg(i.booking_id), array_agg(i.seat),
        array_agg(i.price + case when p_with_fees then i.fee else 0 end)
    into owners, places, costs
    from unnest(ids) b(id)
    join booking_items i on i.event_id = p_event and i.booking_id = b.id
    where i.returned_at is null;
    select array_agg(p.id order by p.id), array_agg(d.amount order by p.id) into paid, amounts
    from (select booking, sum(cost) as cost from unnest(owners, costs) o(booking, cost)
          group by booking) o
    join bookings b on b.event_id = p_event and b.id = o.booking
    join payments p on p.id = b.payment_id
    cross join lateral (
        select least(o.cost + case when p_with_fees then b.fee else 0 end, refundable(p_event, p.id))::bigint
            as amount) d
    where d.amount > 0;

    perform return_seats(p_event, owners, places, false, 'event_cancelled');
    if paid is not null then
        refund_ids := write_refunds(p_event, paid, amounts, 'event_cancelled', p_reason, p_spread);
        insert into refund_items (event_id, refund_id, booking_id, seat, amount)
        select p_event, r.id, r.booking_id, i.place, i.cost
        from unnest(refund_ids) w(id)
        join refunds r on r.id = w.id
        join (select o.booking, array_agg(o.place order by o.place) as seats,
                  array_agg(o.cost order by o.place) as parts
              from unnest(owners, places, costs) o(booking, place, cost) group by o.booking) o
            on o.booking = r.booking_id
        cross join lateral unnest(o.seats, share_out(r.amount, o.parts)) i(place, cost);
    end if;
    perform keep_the_rest(p_event, array(select payment_id from bookings
                                where event_id = p_event and id = any (ids)));
    perform tell_of_cancellation(p_event, ids, p_reason);
    return cardinality(ids);
end $$;

/* Writes e-mails that tell the buyers of cancelled bookings the reason and the amount of their refund. */
create or replace function tell_of_cancellation(p_event bigint, p_bookings uuid[], p_reason text)
returns void language sql set jit = off as $$
    with written as (
        insert into emails (event_id, booking_id, buyer_id, template, context)
        select b.event_id, b.id, b.buyer_id, 'event_cancelled', jsonb_build_object(
            'why', p_reason, 'amount', coalesce((
                select sum(r.amount) from refunds r
                where r.event_id = b.event_id and r.booking_id = b.id
                    and r.cause = 'event_cancelled' and r.state <> 'failed'), 0))
        from bookings b where b.event_id = p_event and b.id = any (p_bookings)
        on conflict do nothing
        returning id, event_id
    )
    insert into outbox (actor, queue, args, event_id)
    select 'send_email', 'mail', jsonb_build_object('email_id', id), event_id from written;
$$;
