/* The lane to serve next, locked: of those with something to decide, the one that got the least for
   its weight. SKIP LOCKED chooses among lanes only; a lane is served by one drain at a time. A lane
   that was not busy (idle, waiting for held seats, at its cap, paused) starts at the others' time, and
   that time never falls: busy lanes only move on, and where none is busy the furthest lane tells it.
   It comes before those whose time that is, or it would move on with them and never be served.
   Where other drains have all that are behind, one that is ahead by p_ahead seats is not served instead,
   or weights would mean nothing; but nobody waits for a lane whose drain hangs.
   p_backlog: how many tasks of the saga may wait before lanes that need a gateway pause; null: no
   bound. Null: nothing to do. */
create or replace function next_lane(p_backlog integer default null, p_ahead integer default 500)
returns bigint language plpgsql set jit = off as $$
declare
    present numeric;
    behind numeric;
    chosen bigint;
    backlogged constant boolean := p_backlog is not null and (
        select count(*) > p_backlog from (
            select from outbox where actor = 'advance' and run_at <= clock_timestamp()
                and key is not null
            limit p_backlog + 1) o);
begin
    select coalesce(min(vt) filter (where busy), max(vt), 0),
        min(vt) filter (where busy and served_at > clock_timestamp() - interval '1 s')
    into present, behind from lanes;
    select l.event_id into chosen
    from lanes l
    where l.told_through is not null
        or not l.paused and coalesce(l.rest_until <= clock_timestamp(), true)
        and (not l.busy or coalesce(l.vt <= behind + p_ahead / l.weight, true))
        and lane_is_due(l.event_id, backlogged) and (
        exists (select from lane_wakes w where w.event_id = l.event_id)
        or not l.stalled and (
            exists (select from entries e where e.event_id = l.event_id and e.state = 'waiting'
                and e.number >= case when l.low_water_reset_at < clock_timestamp() - interval '2 s'
                                     then 0 else l.low_water end)
            or exists (select from entries e where e.event_id = l.event_id and e.state = 'standby'
                and e.number >= l.standby_from)))
    order by case when l.busy then l.vt else greatest(l.vt, present) end, l.busy,
        l.event_id
    limit 1
    for update of l skip locked;
    update lanes set vt = greatest(vt, present), busy = true
    where event_id = chosen and not busy;
    return chosen;
end $$;

/* A lane that is paused has no claim on what it missed, and does not hold the others' time back. */
create or replace function rest_paused_lane() returns trigger language plpgsql as $$
begin
    new.busy := false;
    return new;
end $$;

create or replace trigger lanes_rest_while_paused before update of paused on lanes
    for each row when (new.paused) execute function rest_paused_lane();
