/* Decides the next p_batch entries of a lane in number order and holds their seats, all in the caller's
   transaction, which must have locked the lane (next_lane). Free bookings are confirmed at once; an entry
   that asks for admission is offered a pass. p_per_second: payments a second at the gateway; null: no
   limit. Returns how many entries were decided, how many were booked, their seats, how many were admitted,
   and whether the lane now waits for seats.

   A large batch is planned anew: a plan from a time with few entries costs more in a long queue. For a small
   one planning costs more than deciding.

   A lane that waits for seats, or for its cap, rests for a moment before it looks at what was only settled:
   in a busy sale many bookings are settled meanwhile, and one look finds them all.

   Lock order: lane, the sale (shared), entries by number, seats by id (SKIP LOCKED: it never waits for a
   direct booking), buyer_seats. The lane's row is written once, at the end. */
create or replace function drain_lane(
    p_event bigint, p_batch integer, p_per_second double precision default null,
    out taken integer, out booked integer, out seats_held integer, out admitted integer,
    out waiting_for_seats boolean)
language plpgsql
set jit = off set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = auto as $$
#variable_conflict use_column
declare
    large constant integer := 100;
    wait_at_least constant interval := '250 ms';
    -- Writing is cheap beside deciding. After a batch failed because of one entry, it is one at a time.
    at_once constant integer := case p_batch when 1 then 1 else p_batch * 10 end;
    show events;
    sale lanes;
    lane lane_state;
    is_over boolean;
    released boolean;       -- a wake of this batch says so; null: there were no wakes
    afresh boolean;         -- all entries are read, without the low-water mark
    room integer;
    kept_by text;           -- the limit that leaves no more room
    numbers bigint[];
    lowest bigint;          -- no entry waits below it
    done record;            -- see decide_batch
begin
    taken := 0; booked := 0; seats_held := 0; admitted := 0; waiting_for_seats := false;
    perform lock_sale(p_event, false);
    select * into show from events where id = p_event;
    select * into sale from lanes where event_id = p_event;
    select * into lane from lane_state where event_id = p_event;
    is_over := show.state <> 'on_sale' or clock_timestamp() >= show.off_sale_at;

    -- Released seats begin the pass over standby entries anew. A booking that was only settled waits for
    -- the end of the pass: otherwise a busy sale would never get past its first standby entries. Every 2 s
    -- all entries are read, and one that committed very late is found.
    with woken as (
        delete from lane_wakes where event_id = p_event
            and (kind <> 'settled' or lane.state = 'waiting_for_seats')
        returning kind
    )
    select bool_or(woken.kind = 'released') into released from woken;
    if released then
        lane.standby_from := 0;
    end if;
    afresh := lane.low_water_reset_at < now() - interval '2 s';
    if afresh then
        lane.low_water := 0; lane.low_water_reset_at := now();
    end if;
    -- Unused credit is kept for a second.
    lane.admission_credit := least(greatest(sale.admission_rate / 60, 1), lane.admission_credit
        + sale.admission_rate / 60 * extract(epoch from clock_timestamp() - lane.credited_at));
    lane.credited_at := clock_timestamp(); lane.served_at := lane.credited_at;
    lane.rest_until := null; lane.rest_reason := null;

    if is_over or lane.state = 'ending' then
        if lane.state <> 'ending' then
            lane.now_serving := greatest(lane.now_serving, start_queue_ending(p_event, 'sale_over'));
        end if;
        select w.written, case when w.finished then 'idle' else 'ending' end
        into taken, lane.state from write_queue_ending(p_event, at_once) w;
        lane.virtual_time := lane.virtual_time + least(taken, p_batch) / sale.weight;
        if is_over then
            delete from lane_wakes where event_id = p_event;  -- no entry is left
        end if;
    else
        select * into room, kept_by
        from lane_room(show, sale, lane.admission_credit, p_batch, p_per_second);
        select b.numbers, b.lowest into numbers, lowest from read_batch(lane, room) b;
        if room = 0 and kept_by <> 'cap' then
            -- Lanes that wait for a gateway rest together, until the next half second, and their virtual
            -- time counts: each gets its share of the gateway's payments.
            lane.state := 'resting'; lane.rest_reason := kept_by;
            lane.rest_until := case kept_by
                when 'rate' then clock_timestamp() + make_interval(
                    secs => least((1 - lane.admission_credit) * 60 / sale.admission_rate, 30))
                else to_timestamp(ceil(extract(epoch from clock_timestamp()) * 2 + 0.01) / 2) end;
        elsif numbers is null then
            delete from lane_wakes where event_id = p_event and kind = 'settled';
            lane.state := case room when 0 then 'waiting_for_seats' else 'idle' end;
            lane.standby_from := case
                when room = 0 then lane.standby_from
                when (found or released is not null) and hope_has_ended(p_event) then 0
                else 9223372036854775807 end;
        else
            if cardinality(numbers) >= large then
                set local plan_cache_mode = force_custom_plan;  -- until this function ends
            end if;
            select * into done from decide_batch(show, numbers, at_once);
            taken := done.taken; booked := done.booked; seats_held := done.seats_held;
            admitted := done.admitted;
            lane.state := done.next_state;
            waiting_for_seats := lane.state = 'waiting_for_seats';
            lane.now_serving := greatest(lane.now_serving, done.serving);
            if done.last_number is not null then
                -- An entry that gets nothing also counts: many of them must not keep other lanes waiting.
                lane.virtual_time := lane.virtual_time + greatest(seats_held, taken) / sale.weight;
                lane.admission_credit := case when sale.admission_rate is null then 0
                                              else lane.admission_credit - (booked + admitted) end;
                if afresh then
                    lane.low_water := least(lane.low_water_next, lowest); lane.low_water_next := lowest;
                end if;
                if not waiting_for_seats then
                    lane.standby_from := greatest(lane.standby_from, done.last_number + 1);
                end if;
                if lane.state = 'ready' and kept_by is not distinct from 'cap'
                        and booked + admitted = room and in_flight(p_event) >= sale.in_flight_cap then
                    lane.state := 'waiting_for_seats';  -- at once, and not after one more look
                end if;
            end if;
        end if;
    end if;
    update lane_state
    set state = lane.state, rest_reason = lane.rest_reason, rest_until = case lane.state
            when 'waiting_for_seats' then clock_timestamp() + wait_at_least else lane.rest_until end,
        virtual_time = lane.virtual_time, served_at = lane.served_at, now_serving = lane.now_serving,
        low_water = lane.low_water, low_water_next = lane.low_water_next,
        low_water_reset_at = lane.low_water_reset_at, standby_from = lane.standby_from,
        admission_credit = lane.admission_credit, credited_at = lane.credited_at
    where event_id = p_event;
end $$;

/* Reads the numbers of the next entries of a lane, p_limit at most, and the lowest number that waits. */
create or replace function read_batch(
    p_lane lane_state, p_limit integer, out numbers bigint[], out lowest bigint)
language plpgsql stable as $$
begin
    select array_agg(n.number),
        coalesce(min(n.number) filter (where n.state = 'waiting'), max(n.number))
    into numbers, lowest
    from (select w.number, w.state from (
              (select number, state from entries
               where event_id = p_lane.event_id and state = 'waiting'
                   and number >= p_lane.low_water order by number limit p_limit)
              union all
              (select number, state from entries
               where event_id = p_lane.event_id and state = 'standby'
                   and number >= p_lane.standby_from order by number limit p_limit)) w
          order by w.number limit p_limit) n;
end $$;

/* Locks entries by number, and decides them. next_state: the lane's state afterwards; last_number: the
   highest that was decided; null: none was, and the lane is read again; serving: no entry up to this number
   waits for its turn. */
create or replace function decide_batch(
    p_show events, p_numbers bigint[], p_at_once integer,
    out taken integer, out booked integer, out seats_held integer, out admitted integer,
    out next_state text, out last_number bigint, out serving bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    numbers bigint[]; ids uuid[]; buyer_ids bigint[]; quantities integer[]; wanted integer[];
    together boolean[]; accessible integer[]; expected bigint[];  -- of those that want seats
    with_expected boolean;                          -- some expect a total
    pass_numbers bigint[]; pass_ids uuid[]; pass_quantities integer[];  -- of those that want passes
    over_cap uuid[]; repriced uuid[];
    got record;                                     -- see take_seats
    failed uuid[];
    ended_through bigint;
begin
    booked := 0; seats_held := 0; admitted := 0; next_state := 'ready';
    select count(*), max(e.number),
        array_agg(e.number) filter (where not e.admission),
        coalesce(array_agg(e.id) filter (where not e.admission), '{}'),
        array_agg(e.buyer_id) filter (where not e.admission),
        array_agg(e.quantity::integer) filter (where not e.admission),
        array_agg(coalesce(e.category, 0)::integer) filter (where not e.admission),
        array_agg(e.together) filter (where not e.admission),
        array_agg(e.accessible::integer) filter (where not e.admission),
        array_agg(e.expected_total) filter (where not e.admission),
        bool_or(e.expected_total is not null),
        coalesce(array_agg(e.id) filter (where e.over_cap), '{}'),
        array_agg(e.number) filter (where e.admission),
        coalesce(array_agg(e.id) filter (where e.admission), '{}'),
        array_agg(e.quantity::integer) filter (where e.admission)
    into taken, last_number, numbers, ids, buyer_ids, quantities, wanted, together, accessible,
        expected, with_expected, over_cap, pass_numbers, pass_ids, pass_quantities
    from (select e.*, e.quantity > p_show.seats_per_buyer - coalesce((
                select b.seats from buyer_seats b
                where b.event_id = p_show.id and b.buyer_id = e.buyer_id), 0) as over_cap
          from (select * from entries
                where event_id = p_show.id and number = any ((select p_numbers)::bigint[])
                    and entry_is_waiting(state)
                order by number for update) e) e;
    if taken = 0 then
        return;  -- all of them have just left
    end if;
    -- Over the cap since a direct booking: these entries are refused, and the batch is read again.
    if cardinality(over_cap) > 0 then
        taken := refuse_entries(p_show.id, over_cap, 'over_cap');
        last_number := null;
        return;
    end if;
    select * into got from take_seats(p_show.id, ids, quantities, wanted, together, accessible);
    -- Seats that cost another sum than their buyer was shown are not held. The seats of the others are locked,
    -- but the batch is read again: these are free for lower numbers than those after them.
    if with_expected then
        repriced := array(
            select ids[c.entry] from changed_totals(p_show, expected, got.owners, got.held_category) c);
        if cardinality(repriced) > 0 then
            taken := refuse_entries(p_show.id, repriced, 'price_changed');
            last_number := null;
            return;
        end if;
    end if;
    if got.held is not null then
        booked := hold_seats(p_show, ids, buyer_ids, quantities, got.owners, got.held,
            got.held_category);
        seats_held := cardinality(got.held);
    end if;
    if cardinality(pass_ids) > 0 then
        select admit_entries(p_show, pass_ids, pass_quantities, seats_held,
            array_agg(n.taken order by n.number) filter (where n.wants_pass)) into admitted
        from (select w.number, w.wants_pass,
                  count(*) filter (where not w.wants_pass) over (order by w.number)::integer as taken
              from (select p.number, true as wants_pass from unnest(pass_numbers) p(number)
                    union all
                    select numbers[o.entry], false from unnest(got.owners) o(entry)) w) n;
    end if;
    failed := array(select ids[f] from unnest(got.failed) f) || pass_ids[admitted + 1 :];
    if cardinality(failed) > 0 and cardinality(ids) = 0 and in_flight(p_show.id) > 0 then
        next_state := 'waiting_for_seats';  -- passes are offered in order: no later entry gets one either
    elsif cardinality(failed) > 0 then
        select s.next_state, s.ended_through into next_state, ended_through
        from settle_failed(p_show, failed, got.raced, p_at_once) s;
    end if;
    serving := greatest(ended_through, case when next_state = 'waiting_for_seats' then greatest(
            least(numbers[got.failed[1]], pass_numbers[admitted + 1]) - 1,
            (select numbers[max(o)] from unnest(got.owners) o), pass_numbers[admitted])
        else last_number end);
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

/* Tells whether a standby entry waits for a category without held seats. */
create or replace function hope_has_ended(p_event bigint) returns boolean
language sql stable as $$
    select not exists (
            select from bookings where event_id = p_event
                and booking_is_open(state))
        or exists (
            select from event_categories c
            where c.event_id = p_event
                and exists (select from entries e where e.event_id = p_event and e.state = 'standby'
                    and e.category = c.category and e.accessible = 0)
                and not is_pending(p_event, c.category))
$$;
