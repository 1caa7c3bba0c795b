/* Decides the next p_batch entries of a lane in number order and holds their seats, all in the
   caller's transaction, which must hold the lane's lock (next_lane). Zero-price bookings are confirmed
   at once; who asks for admission is offered a pass. p_per_second: payments that the gateway takes;
   null: no bound. Returns how many entries were looked at, how many were booked, their seats, how many
   were admitted, and whether the lane now waits for held seats to be settled.

   Planned anew each time, as is hold_seats: plans from when few waited cost more as the crowd grows.

   Lock order: lane, the sale (shared), entries by number, seats by id (SKIP LOCKED: who books directly is
   never waited for), buyer_seats. */
create or replace function drain_lane(
    p_event bigint, p_batch integer, p_per_second double precision default null,
    out taken integer, out booked integer, out seats_held integer, out admitted integer,
    out stalled boolean)
language plpgsql
set jit = off set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    at_once constant integer := case p_batch when 1 then 1 else p_batch * 10 end;
    show events;
    lane lanes;
    room integer;
    kept_by text;                                   -- what there is room for no more than that by
    turn record;                                    -- see begin_turn
    batch record;                                   -- see lock_batch
    got record;                                     -- what take_seats could give
    failed uuid[];
begin
    taken := 0; booked := 0; seats_held := 0; admitted := 0; stalled := false;
    perform lock_sale(p_event, false);
    select * into show from events where id = p_event;

    turn := begin_turn(p_event);
    lane := turn.lane;

    -- Writing is cheap beside deciding; but one at a time when an entry has spoiled the batch.
    if lane.told_through is not null or show.state <> 'on_sale'
        or clock_timestamp() >= show.off_sale_at
    then
        taken := case when lane.told_through is null then end_queue(p_event, 'sale_over', at_once)
                      else write_ended(p_event, at_once) end;
        update lanes set vt = vt + least(taken, p_batch) / weight where event_id = p_event;
        if show.state <> 'on_sale' or clock_timestamp() >= show.off_sale_at then
            delete from lane_wakes where event_id = p_event;  -- nobody is there to hope
        end if;
        return;
    end if;
    select * into room, kept_by from lane_room(show, lane, p_batch, p_per_second);
    if room = 0 and kept_by <> 'cap' then
        -- Those who wait for a gateway do so together, to the next half second, and remain busy: each
        -- is to get its share of what the gateway takes.
        update lanes
        set busy = kept_by = 'gateway', rest_until = case kept_by
            when 'rate' then clock_timestamp() + make_interval(
                secs => least((1 - admission_credit) * 60 / admission_rate, 30))
            else to_timestamp(ceil(extract(epoch from clock_timestamp()) * 2 + 0.01) / 2) end
        where event_id = p_event;
        return;
    end if;

    batch := lock_batch(show, lane, room);
    if batch.lowest is null then
        delete from lane_wakes where event_id = p_event and not released;
        update lanes
        set busy = false, stalled = room = 0,
            standby_from = case
                when room = 0 then standby_from
                when (found or turn.released is not null) and hope_has_ended(p_event) then 0
                else 9223372036854775807 end
        where event_id = p_event;
        return;
    end if;
    taken := batch.taken;
    if taken = 0 then
        return;  -- all of them have just left
    end if;
    -- Over the cap by now (a direct booking): told, and the batch is read again without them.
    if cardinality(batch.over_cap) > 0 then
        taken := refuse_entries(p_event, batch.over_cap, 'over_cap');
        return;
    end if;
    select * into got from take_seats(p_event, batch.ids, batch.quantities, batch.wanted,
        batch.together, batch.accessible);
    if got.held is not null then
        booked := hold_seats(show, batch.ids, batch.buyer_ids, batch.quantities, got.owners, got.held,
            got.held_category);
        seats_held := cardinality(got.held);
    end if;
    if cardinality(batch.pass_ids) > 0 then
        select admit_entries(show, batch.pass_ids, batch.pass_quantities, seats_held,
            array_agg(n.taken order by n.number) filter (where n.wants_pass)) into admitted
        from (select w.number, w.wants_pass,
                  count(*) filter (where not w.wants_pass) over (order by w.number)::integer as taken
              from (select p.number, true as wants_pass from unnest(batch.pass_numbers) p(number)
                    union all
                    select batch.numbers[o.entry], false from unnest(got.owners) o(entry)) w) n;
    end if;
    failed := array(select batch.ids[f] from unnest(got.failed) f) || batch.pass_ids[admitted + 1 :];
    if cardinality(failed) > 0 and cardinality(batch.ids) = 0 and in_flight(p_event) > 0 then
        stalled := true;  -- passes are offered in order: nobody behind gets one either
    elsif cardinality(failed) > 0 then
        stalled := settle_failed(show, failed, got.raced, at_once);
    end if;
    -- Whoever gets nothing costs a turn too: many of them must not keep the other lanes waiting.
    update lanes
    set vt = vt + greatest(seats_held, taken) / weight, busy = not drain_lane.stalled,
        stalled = drain_lane.stalled,
        low_water = case when low_water_reset_at = now() then least(low_water_next, batch.lowest)
                         else low_water end,
        low_water_next = case when low_water_reset_at = now() then batch.lowest
                              else low_water_next end,
        standby_from = case when drain_lane.stalled then standby_from
                            else greatest(standby_from, batch.last_number + 1) end,
        admission_credit = case when admission_rate is null then 0
                                else admission_credit - (booked + admitted) end,
        now_serving = greatest(now_serving, case
            when drain_lane.stalled then greatest(
                least(batch.numbers[got.failed[1]], batch.pass_numbers[admitted + 1]) - 1,
                (select batch.numbers[max(o)] from unnest(got.owners) o),
                batch.pass_numbers[admitted])
            else batch.last_number end)
    where event_id = p_event;
end $$;

/* Begins a lane's turn: takes its wakes, adds to its credit, and resets its low-water mark where it is
   due. released: by the wakes that were there; null: there were none. */
create or replace function begin_turn(p_event bigint, out lane lanes, out released boolean)
language plpgsql as $$
#variable_conflict use_column
begin
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
                                  else low_water_reset_at end,
        -- What was not used is kept for a second.
        admission_credit = least(greatest(admission_rate / 60, 1), admission_credit
            + admission_rate / 60 * extract(epoch from clock_timestamp() - credited_at)),
        credited_at = clock_timestamp(),
        served_at = clock_timestamp(),
        rest_until = null
    where event_id = p_event
    returning * into lane;
end $$;

/* The next p_room entries of a lane, locked plainly and read in number order, with what deciding them
   needs: an array element for each that wants seats, and for each that wants a pass.
   lowest: no entry waits below it; null: there are none. taken: how many there still are when they are
   locked. over_cap: those whose buyers have too many seats by now. */
create or replace function lock_batch(
    p_show events, p_lane lanes, p_room integer,
    out lowest bigint, out taken integer, out last_number bigint, out numbers bigint[], out ids uuid[],
    out buyer_ids bigint[], out quantities integer[], out wanted integer[], out together boolean[],
    out accessible integer[], out over_cap uuid[], out pass_numbers bigint[], out pass_ids uuid[],
    out pass_quantities integer[])
language plpgsql as $$
#variable_conflict use_column
declare
    found_numbers bigint[];
begin
    select array_agg(n.number),
        coalesce(min(n.number) filter (where n.state = 'waiting'), max(n.number))
    into found_numbers, lowest
    from (select w.number, w.state from (
              (select number, state from entries where event_id = p_show.id and state = 'waiting'
                  and number >= p_lane.low_water order by number limit p_room)
              union all
              (select number, state from entries where event_id = p_show.id and state = 'standby'
                  and number >= p_lane.standby_from order by number limit p_room)) w
          order by w.number limit p_room) n;
    if lowest is null then
        return;
    end if;
    select count(*), max(e.number),
        array_agg(e.number) filter (where not e.admission),
        coalesce(array_agg(e.id) filter (where not e.admission), '{}'),
        array_agg(e.buyer_id) filter (where not e.admission),
        array_agg(e.quantity::integer) filter (where not e.admission),
        array_agg(coalesce(e.category, 0)::integer) filter (where not e.admission),
        array_agg(e.together) filter (where not e.admission),
        array_agg(e.accessible::integer) filter (where not e.admission),
        coalesce(array_agg(e.id) filter (where e.over_cap), '{}'),
        array_agg(e.number) filter (where e.admission),
        coalesce(array_agg(e.id) filter (where e.admission), '{}'),
        array_agg(e.quantity::integer) filter (where e.admission)
    into taken, last_number, numbers, ids, buyer_ids, quantities, wanted, together, accessible,
        over_cap, pass_numbers, pass_ids, pass_quantities
    from (select e.*, e.quantity > p_show.seats_per_buyer - coalesce((
                select b.seats from buyer_seats b
                where b.event_id = p_show.id and b.buyer_id = e.buyer_id), 0) as over_cap
          from (select * from entries
                where event_id = p_show.id and number = any (found_numbers)
                    and entry_is_waiting(state)
                order by number for update) e) e;
end $$;

/* Tells entries that there is nothing for them. */
create or replace function refuse_entries(p_event bigint, p_ids uuid[], p_reason text)
returns integer language plpgsql as $$
declare
    told integer;
begin
    update entries set state = 'unavailable', decided_at = clock_timestamp(), reason = p_reason
    where event_id = p_event and id = any (p_ids) and entry_is_waiting(state);
    get diagnostics told = row_count;
    return told;
end $$;

/* Whether somebody on standby hopes for a category of which nothing is held any more. */
create or replace function hope_has_ended(p_event bigint) returns boolean
language sql stable as $$
    select not exists (
            select from bookings where event_id = p_event
                and booking_is_open(state))
        or exists (
            select from event_categories c
            where c.event_id = p_event
                and exists (select from entries e where e.event_id = p_event and e.state = 'standby'
                    and e.category = c.category)
                and not is_pending(p_event, c.category))
$$;
