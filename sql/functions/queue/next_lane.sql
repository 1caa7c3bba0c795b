/* The lane to serve next, locked: of those with something to decide, the one that got the least for
   its weight. SKIP LOCKED chooses among lanes only; a lane is served by one drain at a time. A lane
   that was not busy (idle, waiting for held seats or for its gateway, at its cap, paused) starts at the
   others' time, and that time never falls: busy lanes only move on, and where none is busy the furthest
   lane tells it. It comes before those whose time that is, or it would move on with them and never be
   served.
   Where other drains have all that are behind, one that is ahead by p_ahead seats is not served instead,
   or weights would mean nothing; but nobody waits for a lane whose drain hangs.
   p_backlog: how many tasks of the saga may wait before lanes that need a gateway pause; null: no
   bound. Null: nothing to do. */
create or replace function next_lane(p_backlog integer default null, p_ahead integer default 500)
returns bigint language plpgsql set jit = off as $$
declare
    moment constant timestamptz := clock_timestamp();
    backlogged constant boolean := is_backlogged(p_backlog);
    with_work bigint[];
    over bigint[];      -- lanes with people who are to be told so, whatever else keeps them waiting
    present numeric;
    behind numeric;
    chosen bigint;
begin
    with_work := array(
        select l.event_id from lanes l
        where (exists (select from lane_wakes w where w.event_id = l.event_id)
            or not l.stalled and (
                exists (select from entries e where e.event_id = l.event_id and e.state = 'waiting'
                    and e.number >= case when l.low_water_reset_at < moment - interval '2 s'
                                         then 0 else l.low_water end)
                or exists (select from entries e where e.event_id = l.event_id and e.state = 'standby'
                    and e.number >= l.standby_from)))
            and lane_is_due(l.event_id, backlogged));
    over := array(
        select l.event_id from lanes l join events v on v.id = l.event_id
        where (l.paused or l.stalled or l.rest_until > moment)
            and (v.state <> 'on_sale' or moment >= v.off_sale_at)
            and exists (select from entries e where e.event_id = l.event_id
                and entry_is_waiting(e.state)));
    update lanes set busy = false
    where event_id in (
        select event_id from lanes
        where busy and told_through is null and event_id <> all (with_work || over)
        for update skip locked);
    select coalesce(min(vt) filter (where busy), max(vt), 0),
        min(vt) filter (where busy and served_at > moment - interval '1 s'
            and coalesce(rest_until <= moment, true))
    into present, behind from lanes;
    select l.event_id into chosen
    from lanes l
    where l.told_through is not null or l.event_id = any (over)
        or l.event_id = any (with_work) and not l.paused and coalesce(l.rest_until <= moment, true)
        and (not l.busy or coalesce(l.vt <= behind + p_ahead / l.weight, true))
    order by case when l.busy then l.vt else greatest(l.vt, present) end, l.busy, l.event_id
    limit 1
    for update of l skip locked;
    update lanes set vt = greatest(vt, present), busy = true
    where event_id = chosen and not busy;
    return chosen;
end $$;

/* Whether more than p_most tasks of the saga wait to be carried on; null: never. Those whose gateway is
   away wait for it, and say nothing about how fast the others go. */
create or replace function is_backlogged(p_most integer) returns boolean language sql stable as $$
    select p_most is not null and (
        select count(*) > p_most from (
            select from outbox t
            where t.actor = 'advance' and t.key is not null and t.run_at <= clock_timestamp()
                and not exists (
                    select from events e join outages o on o.gateway_account_id = e.gateway_account_id
                    where e.id = t.event_id and o.closed_at is null)
            limit p_most + 1) x)
$$;
