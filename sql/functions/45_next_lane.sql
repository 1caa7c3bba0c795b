/* The lane to serve next, locked: of those with something to decide, the one that got the least for
   its weight. SKIP LOCKED chooses among lanes only; a lane is served by one drain at a time. A lane
   that was idle starts at the others' time, and that time never falls: busy lanes only move on, and
   where none is busy the furthest lane tells it. Null: nothing to do. */
create or replace function next_lane() returns bigint language plpgsql set jit = off as $$
declare
    present numeric;
    chosen bigint;
begin
    select coalesce(min(vt) filter (where busy), max(vt), 0) into present from lanes;
    select l.event_id into chosen
    from lanes l
    where not l.paused and (
        exists (select from lane_wakes w where w.event_id = l.event_id)
        or not l.stalled and (
            exists (select from entries e where e.event_id = l.event_id and e.state = 'waiting'
                and e.number >= case when l.low_water_reset_at < clock_timestamp() - interval '2 s'
                                     then 0 else l.low_water end)
            or exists (select from entries e where e.event_id = l.event_id and e.state = 'standby'
                and e.number >= l.standby_from)))
    order by case when l.busy then l.vt else greatest(l.vt, present) end, l.event_id
    limit 1
    for update of l skip locked;
    update lanes set vt = greatest(vt, present), busy = true
    where event_id = chosen and not busy;
    return chosen;
end $$;
