/* Decides the next p_batch entries of a lane in number order and holds their seats, all in the
   caller's transaction, which must hold the lane's lock (next_lane). Zero-price bookings are confirmed
   at once. Returns how many entries were looked at, how many were booked, their seats, and
   whether the lane now waits for held seats to be settled.

   Planned anew each time, as is hold_seats: plans from when few waited cost more as the crowd grows.

   Lock order: lane, entries by number, seats by id (SKIP LOCKED: who books directly is never waited
   for), buyer_seats. */
create or replace function drain_lane(
    p_event bigint, p_batch integer, out taken integer, out booked integer, out seats_held integer,
    out stalled boolean)
language plpgsql
set jit = off set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    show events;
    lane lanes;
    room integer := p_batch;
    released boolean;                               -- by the wakes of this batch; null: there were none
    numbers bigint[]; ids uuid[]; buyer_ids bigint[]; quantities integer[]; wanted integer[];
    together boolean[]; accessible integer[]; over_cap boolean[];
    named_entry integer[]; named_seat integer[];
    picked record;
    avoid integer[] := '{}';
    wished integer[]; owners integer[];             -- what was chosen, in seat order, and by whom
    held integer[]; held_category integer[];
    lowest bigint;                                  -- nobody waits below it
begin
    taken := 0; booked := 0; seats_held := 0; stalled := false;
    select * into show from events where id = p_event;

    -- A release begins the pass over standby entries anew; what is only settled waits for the end of the
    -- pass, or a busy sale would never come further than its first standby entries. Every 2 s all are
    -- read: whoever committed very late is found then.
    with woken as (
        delete from lane_wakes where event_id = p_event
            and (released or (select l.stalled from lanes l where l.event_id = p_event))
        returning released
    )
    select bool_or(woken.released) into released from woken;
    update lanes
    set standby_from = case when released then 0 else standby_from end,
        stalled = stalled and released is null,
        low_water = case when low_water_reset_at < now() - interval '2 s' then 0 else low_water end,
        low_water_reset_at = case when low_water_reset_at < now() - interval '2 s' then now()
                                  else low_water_reset_at end
    where event_id = p_event
    returning * into lane;

    if show.state <> 'on_sale' or clock_timestamp() >= show.off_sale_at then
        taken := end_queue(p_event, 'sale_over');
        update lanes set busy = false, stalled = false where event_id = p_event;
        return;
    end if;
    if lane.in_flight_cap is not null then
        select least(p_batch, lane.in_flight_cap - count(*)) into room
        from bookings where event_id = p_event
            and state in ('held', 'authorising', 'expiring', 'review', 'secured');
    end if;

    -- The entries, locked plainly and read in number order.
    select array_agg(n.number),
        coalesce(min(n.number) filter (where n.state = 'waiting'), max(n.number))
    into numbers, lowest
    from (select w.number, w.state from (
              (select number, state from entries where event_id = p_event and state = 'waiting'
                  and number >= lane.low_water order by number limit greatest(room, 0))
              union all
              (select number, state from entries where event_id = p_event and state = 'standby'
                  and number >= lane.standby_from order by number limit greatest(room, 0))) w
          order by w.number limit greatest(room, 0)) n;
    if numbers is null then
        delete from lane_wakes where event_id = p_event and not released;
        update lanes
        set busy = false, stalled = room <= 0,
            standby_from = case
                when room <= 0 then standby_from
                when (found or released is not null) and hope_has_ended(p_event) then 0
                else 9223372036854775807 end
        where event_id = p_event;
        return;
    end if;
    select array_agg(e.number), array_agg(e.id), array_agg(e.buyer_id), array_agg(e.quantity::integer),
        array_agg(coalesce(e.category, 0)::integer), array_agg(e.together),
        array_agg(e.accessible::integer), coalesce(array_agg(e.over_cap), '{}')
    into numbers, ids, buyer_ids, quantities, wanted, together, accessible, over_cap
    from (select e.*, e.quantity > show.seats_per_buyer - coalesce((
                select b.seats from buyer_seats b
                where b.event_id = p_event and b.buyer_id = e.buyer_id), 0) as over_cap
          from (select * from entries
                where event_id = p_event and number = any (numbers)
                    and state in ('waiting', 'standby')
                order by number for update) e) e;
    taken := coalesce(cardinality(numbers), 0);
    if taken = 0 then
        return;  -- all of them have just left
    end if;
    -- Over the cap by now (a direct booking): told, and the batch is read again without them.
    if true = any (over_cap) then
        taken := refuse_entries(p_event,
            array(select u.id from unnest(ids, over_cap) u(id, over) where u.over), 'over_cap');
        return;
    end if;

    select coalesce(array_agg(e.n order by e.n, s.seat), '{}'),
        coalesce(array_agg(s.seat order by e.n, s.seat), '{}')
    into named_entry, named_seat
    from unnest(ids) with ordinality e(id, n)
    join entries q on q.event_id = p_event and q.id = e.id and q.seats is not null
    cross join unnest(q.seats) s(seat);

    -- Choose, then lock what was chosen; where somebody was faster, choose again without those.
    loop
        picked := choose_seats(p_event, quantities, wanted, together, accessible, named_entry,
            named_seat, avoid);
        select array_agg(p.entry order by p.seat), array_agg(p.seat order by p.seat)
        into owners, wished from unnest(picked.entry, picked.seat) p(entry, seat);
        select array_agg(l.seat), array_agg(l.category::integer) into held, held_category
        from (select seat, category from seats
              where event_id = p_event and seat = any (wished) and state = 'free'
              order by seat for update skip locked) l;
        exit when coalesce(cardinality(held), 0) = cardinality(picked.seat);
        avoid := avoid || array(select unnest(wished) except select unnest(held));
    end loop;

    if held is not null then
        booked := hold_seats(show, ids, buyer_ids, quantities, owners, held, held_category);
        seats_held := cardinality(held);
    end if;
    if cardinality(picked.failed) > 0 then
        stalled := settle_failed(show, array(select ids[f] from unnest(picked.failed) f),
            cardinality(avoid) > 0);
    end if;
    -- Whoever gets nothing costs a turn too: many of them must not keep the other lanes waiting.
    update lanes
    set vt = vt + greatest(seats_held, taken) / weight, busy = not drain_lane.stalled,
        stalled = drain_lane.stalled,
        low_water = case when low_water_reset_at = now() then least(low_water_next, lowest)
                         else low_water end,
        low_water_next = case when low_water_reset_at = now() then lowest else low_water_next end,
        standby_from = case when drain_lane.stalled then standby_from
                            else greatest(standby_from, numbers[taken] + 1) end,
        now_serving = greatest(now_serving, case
            when drain_lane.stalled then greatest(numbers[picked.failed[1]] - 1,
                (select numbers[max(o)] from unnest(owners) o))
            else numbers[taken] end)
    where event_id = p_event;
end $$;
