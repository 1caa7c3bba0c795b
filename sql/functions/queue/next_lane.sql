/* Locks the lane to serve next: of those with something to decide, the one with the least virtual time
   (start-time fair queueing). SKIP LOCKED chooses only among lanes; one drain at a time serves a lane.
   Virtual times are compared among lanes that are ready, ending or resting for their gateway, and that
   their organiser has not changed since. Any other lane (idle, waiting for seats, at its cap, paused)
   starts at the least time of these. That time never falls, because their times only grow; if there are
   none, it is the greatest of all lanes. The lane that starts comes before lanes with the same time:
   otherwise its start would grow with them, and it would never be served.
   If other drains have all lanes that are behind, a lane that is p_ahead seats ahead is not served either:
   otherwise weights would have no effect. But no lane waits for one whose drain hangs.
   p_backlog: how many tasks of the saga may wait for a gateway account before its lanes pause; null: no
   limit.
   Returns null if there is nothing to decide. */
create or replace function next_lane(p_backlog integer default null, p_ahead integer default 500)
returns bigint language plpgsql set jit = off as $$
declare
    moment constant timestamptz := clock_timestamp();
    backlogged constant bigint[] := backlogged_accounts(p_backlog);
    with_work bigint[];
    over bigint[];      -- lanes whose sale is over, which their entries have to be told
    changed bigint[];
    counting bigint[];
    present numeric;
    behind numeric;
    chosen bigint;
begin
    changed := array(select event_id from lane_wakes where kind = 'changed');
    with_work := array(
        select s.event_id from lane_state s
        where (exists (select from lane_wakes w where w.event_id = s.event_id and w.kind <> 'changed')
            or (s.state <> 'waiting_for_seats' or s.event_id = any (changed)) and (
                exists (select from entries e where e.event_id = s.event_id and e.state = 'waiting'
                    and e.number >= case when s.low_water_reset_at < moment - interval '2 s'
                                         then 0 else s.low_water end)
                or exists (select from entries e where e.event_id = s.event_id and e.state = 'standby'
                    and e.number >= s.standby_from)))
            and lane_is_due(s.event_id, backlogged));
    over := array(
        select s.event_id
        from lane_state s join lanes l on l.event_id = s.event_id join events v on v.id = s.event_id
        where (l.paused or s.state = 'waiting_for_seats' or s.rest_until > moment)
            and (v.state <> 'on_sale' or moment >= v.off_sale_at)
            and exists (select from entries e where e.event_id = s.event_id
                and entry_is_waiting(e.state)));
    update lane_state set state = 'idle', rest_until = null, rest_reason = null
    where event_id in (
        select event_id from lane_state
        where (state = 'ready' or rest_reason = 'gateway') and event_id <> all (with_work || over)
        for update skip locked);
    counting := array(
        select s.event_id from lane_state s join lanes l on l.event_id = s.event_id
        where (s.state in ('ready', 'ending') or s.rest_reason = 'gateway')
            and not l.paused and s.event_id <> all (changed));
    select coalesce(min(virtual_time) filter (where event_id = any (counting)), max(virtual_time), 0),
        min(virtual_time) filter (where event_id = any (counting)
            and served_at > moment - interval '1 s' and coalesce(rest_until <= moment, true))
    into present, behind from lane_state;
    select s.event_id into chosen
    from lane_state s join lanes l on l.event_id = s.event_id
    where s.state = 'ending' or s.event_id = any (over)
        or s.event_id = any (with_work) and not l.paused
            and (coalesce(s.rest_until <= moment, true) or s.event_id = any (changed))
            and (s.event_id <> all (counting)
                or coalesce(s.virtual_time <= behind + p_ahead / l.weight, true))
    order by case when s.event_id = any (counting) then s.virtual_time
                  else greatest(s.virtual_time, present) end,
        s.event_id = any (counting), s.event_id
    limit 1
    for update of s skip locked;
    update lane_state set virtual_time = present
    where event_id = chosen and event_id <> all (counting) and virtual_time < present;
    return chosen;
end $$;

/* Returns the gateway accounts for which more than p_most tasks of the saga wait for a worker; p_most null:
   none. One organisation's backlog is not another's. Tasks that wait for others of their buyer or address
   (put_off) do not count, and those whose gateway is away do not, either: they say
   nothing about the speed of the others. */
create or replace function backlogged_accounts(p_most integer) returns bigint[]
language sql stable as $$
    select coalesce(array_agg(x.account), '{}') from (
        select e.gateway_account_id as account
        from (select event_id from outbox t
              where t.actor = 'advance' and t.key is not null and t.run_at <= clock_timestamp()
                  and not t.put_off
              limit 5 * (p_most + 1)) t
        join events e on e.id = t.event_id
        where p_most is not null and not exists (
            select from outages o
            where o.gateway_account_id = e.gateway_account_id and o.closed_at is null)
        group by e.gateway_account_id having count(*) > p_most) x
$$;
