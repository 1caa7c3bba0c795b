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
    away constant bigint[] := backlogged_accounts(p_backlog) || accounts_away();
    present numeric;
    counts boolean;
    chosen bigint;
begin
    with woken as (
        select event_id, bool_or(kind <> 'changed') as has_wake, bool_or(kind = 'changed') as is_changed,
            bool_or(kind = 'released') as has_seats
        from lane_wakes group by event_id
    ), looked as materialized (
        -- has_work: something to decide; tells: the sale is over, which the entries have to be told,
        -- whatever the lane waits for. Of each lane one entry is read; a LIMIT keeps the planner
        -- from reading them all.
        select s.event_id, s.virtual_time, s.served_at, s.rest_until, l.weight, l.paused,
            s.state in ('ready', 'ending') or coalesce(s.rest_reason = 'gateway', false) as is_marked,
            s.state = 'ending' as is_ending, coalesce(w.is_changed, false) as is_changed,
            s.state = 'waiting_for_seats' and coalesce(w.has_seats, false) as has_seats,
            d.is_due and (coalesce(w.has_wake, false)
                or (s.state <> 'waiting_for_seats' or coalesce(w.is_changed, false))
                    and coalesce(n.waits, b.stands_by, false)) as has_work,
            d.is_over and (l.paused or s.state = 'waiting_for_seats'
                or coalesce(s.rest_until > moment, false)) and coalesce(
                    (select true from entries e where e.event_id = s.event_id and e.state = 'waiting' limit 1),
                    (select true from entries e where e.event_id = s.event_id and e.state = 'standby' limit 1),
                    false) as tells
        from lane_state s
        join lanes l on l.event_id = s.event_id
        join lanes_due(moment, away) d on d.event_id = s.event_id
        left join woken w on w.event_id = s.event_id
        left join lateral (
            select true as waits from entries e where e.event_id = s.event_id and e.state = 'waiting'
                and e.number >= case when s.low_water_reset_at < moment - interval '2 s'
                                     then 0 else s.low_water end
            limit 1) n on true
        left join lateral (
            select true as stands_by from entries e
            where e.event_id = s.event_id and e.state = 'standby' and e.number >= s.standby_from
                and n.waits is null
            limit 1) b on true
    ), idled as (
        update lane_state set state = 'idle', rest_until = null, rest_reason = null
        where event_id = any (array(
            select k.event_id from looked n join lane_state k on k.event_id = n.event_id
            where n.is_marked and not n.has_work and not n.tells
                and (k.state = 'ready' or k.rest_reason = 'gateway')
            for update of k skip locked))
        returning event_id
    ), seen as (
        select n.*, n.is_marked and not n.paused and not n.is_changed
            and n.event_id <> all (array(select event_id from idled)) as is_counted
        from looked n
    ), times as (
        select coalesce(min(virtual_time) filter (where is_counted), max(virtual_time), 0) as present,
            min(virtual_time) filter (where is_counted and served_at > moment - interval '1 s'
                and coalesce(rest_until <= moment, true)) as behind
        from seen
    ), candidates as (
        select n.*, t.*, case when n.is_counted then n.virtual_time
                              else greatest(n.virtual_time, t.present) end as place
        from seen n cross join times t
        where n.is_ending or n.tells
            or n.has_work and not n.paused
                and (coalesce(n.rest_until <= moment, true) or n.is_changed or n.has_seats)
                and (not n.is_counted or coalesce(n.virtual_time <= t.behind + p_ahead / n.weight, true))
    )
    select s.event_id, n.is_counted, n.present into chosen, counts, present
    from (select * from candidates order by place, is_counted, event_id offset 0) n
    join lane_state s on s.event_id = n.event_id
    where coalesce(s.rest_until <= moment, true) or n.is_ending or n.tells or n.is_changed or n.has_seats
    order by n.place, n.is_counted, n.event_id
    limit 1
    for update of s skip locked;
    if not counts then
        update lane_state set virtual_time = present
        where event_id = chosen and virtual_time < present;
    end if;
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
