/* Messages of the feed about what a range of transactions has written, after p_after and up to p_end. subject: the
   booking or the entry. Rows of its tables are read as they are now; the state is that of the move, and seats
   are those that were the booking's own then. An entry has no number in a lobby, and none if it was booked
   directly. Why a booking ended is told in words of Usher alone: of tickets that were returned, the reason may
   be in those of a person.
   One statement: a function for each kind of row would be started anew for each row, at ten times the cost. */
create or replace function feed_news(
    p_from bigint, p_to bigint, p_since timestamptz, p_after timestamptz, p_end timestamptz,
    out organisation_id bigint, out is_test boolean, out at timestamptz, out place integer,
    out event_id bigint, out subject uuid, out type text, out data jsonb)
returns setof record language sql stable as $$
    with news as materialized (
        select s.*, v.organisation_id, v.is_test, v.plan_version_id
        from feed_sources(p_from, p_to, p_since) s
        join events v on v.id = s.event_id
        where s.at > p_after and s.at <= p_end
    )
    select n.organisation_id, n.is_test, n.at, n.place, n.event_id, e.id, 'entry.' || n.state,
        jsonb_build_object('entry_id', e.id, 'number', case when e.number > 0 then e.number end,
            'quantity', e.quantity, 'category', e.category, 'accessible', e.accessible,
            'together', e.together, 'admission', e.admission, 'channel', e.channel,
            'reason', e.reason, 'seats', case when e.seats is not null then (
                select jsonb_agg(s.guid order by s.seat) from plan_seats s
                where s.plan_version_id = n.plan_version_id and s.seat = any (e.seats)) end)
    from news n
    cross join unnest(n.ids) i(id)
    join entries e on e.event_id = n.event_id and e.id = i.id
    where n.noun = 'entry'
    union all
    select n.organisation_id, n.is_test, n.at, n.place, n.event_id, b.id, case
            when n.state = 'held' and n.old_state is not null then 'booking.reopened'
            when n.state = 'confirmed' and n.old_state = 'frozen' then 'booking.unfrozen'
            else 'booking.' || n.state end,
        jsonb_build_object('booking_id', b.id, 'code', b.code, 'entry_id', b.entry_id,
            'state', n.state, 'previous_state', n.old_state, 'channel', b.channel,
            'quantity', b.quantity, 'currency', b.currency, 'total', b.total, 'fee', b.fee,
            'payment_id', case when n.state <> 'held' then b.payment_id end,
            'reason', case when b.confirmed_at is null then b.reason end,
            'seats', coalesce((
                select jsonb_agg(jsonb_build_object('guid', s.guid, 'category', i.category,
                    'price_type', i.price_type, 'area', i.area, 'price', i.price, 'fee', i.fee,
                    'tax', i.tax, 'ticket_id', t.id) order by i.seat)
                from booking_items i
                join plan_seats s on s.plan_version_id = n.plan_version_id and s.seat = i.seat
                left join tickets t on booking_is_sold(n.state)
                    and t.event_id = i.event_id and t.booking_id = i.booking_id and t.seat = i.seat
                where i.event_id = b.event_id and i.booking_id = b.id
                    and (i.returned_at is null or i.returned_at > n.at)), '[]'))
    from news n
    join bookings b on b.event_id = n.event_id and b.id = n.ids[1]
    where n.noun = 'booking' and n.guids is null
    union all
    select n.organisation_id, n.is_test, n.at, n.place, n.event_id, p.booking_id, 'payment.' || n.state,
        jsonb_build_object('payment_id', p.id, 'booking_id', p.booking_id, 'state', n.state,
            'previous_state', n.old_state, 'method', p.method, 'amount', p.amount,
            'currency', p.currency, 'captured', case n.state when 'captured' then p.captured else 0 end,
            'failure_code', case n.state when 'failed' then p.failure_code end)
    from news n
    join payments p on p.id = n.ids[1] and p.event_id = n.event_id
    where n.noun = 'payment'
    union all
    select n.organisation_id, n.is_test, n.at, n.place, n.event_id, r.booking_id, 'refund.' || n.state,
        jsonb_build_object('refund_id', r.id, 'payment_id', r.payment_id, 'booking_id', r.booking_id,
            'state', n.state, 'previous_state', n.old_state, 'amount', r.amount,
            'currency', r.currency, 'cause', r.cause, 'seats', coalesce((
                select jsonb_agg(jsonb_build_object('guid', s.guid, 'amount', i.amount) order by i.seat)
                from refund_items i
                join plan_seats s on s.plan_version_id = n.plan_version_id and s.seat = i.seat
                where i.refund_id = r.id), '[]'))
    from news n
    join refunds r on r.id = n.ids[1] and r.event_id = n.event_id
    where n.noun = 'refund'
    union all
    select n.organisation_id, n.is_test, n.at, n.place, n.event_id, i.booking_id,
        'booking.seats_returned', jsonb_build_object('booking_id', i.booking_id, 'seat_state', n.state,
            'seats', jsonb_agg(jsonb_build_object('guid', i.guid, 'ticket_id', t.id) order by s.seat))
    from news n
    cross join unnest(n.ids, n.guids) i(booking_id, guid)
    join plan_seats s on s.plan_version_id = n.plan_version_id and s.guid = i.guid
    left join tickets t on t.event_id = n.event_id and t.booking_id = i.booking_id and t.seat = s.seat
    where n.noun = 'booking' and n.guids is not null
    group by n.organisation_id, n.is_test, n.at, n.place, n.event_id, n.state, i.booking_id
    union all
    select n.organisation_id, n.is_test, n.at, n.place, n.event_id, null,
        'seats.' || case n.state when 'blocked' then 'blocked' else 'unblocked' end,
        jsonb_build_object('seats', to_jsonb(n.guids))
    from news n where n.noun = 'seats'
$$;
