/* Settles entries that could not be met. They go on standby if held seats may come back for them, or came
   back while the batch was decided; otherwise they are refused at once. Counts of one time decide this,
   never another transaction's lock (p_raced). An entry that wants a pass goes on standby while seats are
   held, or other entries have passes.
   p_at_once: see write_queue_ending. next_state: the lane's state afterwards; it waits for seats if no seat
   is free, but some are held. ended_through: see start_queue_ending. */
create or replace function settle_failed(
    p_show events, p_ids uuid[], p_raced boolean, p_at_once integer,
    out next_state text, out ended_through bigint)
language plpgsql set jit = off as $$
declare
    pending smallint[];  -- categories with seats of bookings that may still end
    some_free boolean;
    some_unkept boolean;  -- of them seats that are not kept for accessible entries
    woken boolean;      -- seats were released since the batch began
    passes boolean;
begin
    next_state := 'ready';
    select coalesce(array_agg(c.category) filter (where is_pending(p_show.id, c.category)), '{}'),
        exists (select from seats
                where event_id = p_show.id and seat_is_free(state, allocation)),
        count_free(p_show.id, null, 0, 1) = 1,
        exists (select from lane_wakes where event_id = p_show.id and kind = 'released'),
        exists (select from entries where event_id = p_show.id and state = 'admitted'
                and pass_state <> 'missed' and pass_until > clock_timestamp())
    into pending, some_free, some_unkept, woken, passes
    from event_categories c where c.event_id = p_show.id;
    if cardinality(pending) = 0 and not some_unkept then
        ended_through := start_queue_ending(p_show.id, 'sold_out', not some_free);
        select case when w.finished then 'ready' else 'ending' end into next_state
        from write_queue_ending(p_show.id, p_at_once) w;
    elsif not some_free then
        next_state := 'waiting_for_seats';
    end if;
    if not some_free then
        return;
    end if;

    update entries e
    set state = case when hope.exists then 'standby' else 'unavailable' end,
        decided_at = case when not hope.exists then clock_timestamp() end,
        reason = case when hope.exists then null
                      when e.seats is not null then 'seats_taken'
                      when hope.places < e.accessible then 'no_accessible_seats'
                      when hope.free >= e.quantity then 'not_together'
                      else 'sold_out' end
    from (
        select w.id, least(f.free, w.quantity) as free, f.places,
            p_raced or woken or case when w.admission
                then passes or cardinality(pending) > 0 or f.free > 0
            when w.seats is null
                then w.category = any (pending) or cardinality(pending) > 0
                    and (w.category is null or w.accessible > 0)
            else not exists (select from seats s where s.event_id = p_show.id
                    and s.seat = any (w.seats)
                    and (s.state not in ('free', 'held') or s.allocation is not null)) end as exists
        from entries w
        join (select k.category, k.accessible, count_free(p_show.id, k.category, k.accessible, 50) as free,
                  case when k.accessible > 0 then count_accessible(p_show.id, k.category) end as places
              from (select distinct category::integer, sign(accessible)::integer as accessible
                    from entries where event_id = p_show.id and id = any ((select p_ids)::uuid[])) k) f
            on f.category is not distinct from w.category and f.accessible = sign(w.accessible)
        where w.event_id = p_show.id and w.id = any ((select p_ids)::uuid[])
    ) hope
    where e.event_id = p_show.id and e.id = hope.id
        and (e.state = 'waiting' or e.state = 'standby' and not hope.exists);
    if p_raced then
        insert into lane_wakes (event_id) values (p_show.id);
    end if;
end $$;
