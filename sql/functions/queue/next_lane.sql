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
    -- What costs little is read of all lanes at once. Whether entries wait is asked lane by lane, in order,
    -- only until the answer is known: of a thousand lanes with entries one to three are asked.
    with woken as (
        select event_id, bool_or(kind <> 'changed') as has_wake, bool_or(kind = 'changed') as is_changed,
            bool_or(kind = 'released') as has_seats
        from lane_wakes group by event_id
    ), looked as materialized (
        -- tells: the sale is over, which the entries have to be told, whatever the lane waits for.
        -- is_counted: unless it has nothing to decide.
        select s.event_id, s.virtual_time, s.standby_from, l.weight, d.is_due,
            s.state = 'ending' as is_ending,
            case when s.low_water_reset_at < moment - interval '2 s' then 0 else s.low_water end as low_water,
            (s.state in ('ready', 'ending') or coalesce(s.rest_reason = 'gateway', false))
                and not l.paused and w.is_changed is not true as is_counted,
            coalesce(s.rest_until <= moment, true) and s.served_at > moment - interval '1 s' as is_recent,
            coalesce(w.has_wake, false) as has_wake,
            s.state <> 'waiting_for_seats' or coalesce(w.is_changed, false) as takes_entries,
            d.is_over and (l.paused or s.state = 'waiting_for_seats'
                or coalesce(s.rest_until > moment, false)) as tells,
            coalesce(w.is_changed or s.state = 'waiting_for_seats' and w.has_seats, false) as is_pressing,
            not l.paused and (coalesce(s.rest_until <= moment, true) or coalesce(
                w.is_changed or s.state = 'waiting_for_seats' and w.has_seats, false)) as may_go
        from lane_state s
        join lanes l on l.event_id = s.event_id
        join lanes_due(moment, away) d on d.event_id = s.event_id
        left join woken w on w.event_id = s.event_id
    ), times as materialized (
        select f.virtual_time as first, f.event_id as first_id, b.virtual_time as behind,
            coalesce(f.virtual_time, (select max(virtual_time) from looked), 0) as present
        from (select) one
        left join lateral (
            select n.virtual_time, n.event_id
            from (select * from looked where is_counted order by virtual_time, event_id offset 0) n
            where n.is_ending or n.is_due and (n.has_wake or (n.takes_entries or n.tells) and (
                coalesce((select true from entries e where e.event_id = n.event_id and e.state = 'waiting'
                        and e.number >= case when n.tells then 0 else n.low_water end
                    order by e.number limit 1), (
                    select true from entries e where e.event_id = n.event_id and e.state = 'standby'
                        and e.number >= case when n.tells then 0 else n.standby_from end
                    order by e.number limit 1), false)))
            limit 1) f on true
        left join lateral (
            select n.virtual_time
            from (select * from looked where is_counted and is_recent order by virtual_time offset 0) n
            where n.is_ending or n.is_due and (n.has_wake or (n.takes_entries or n.tells) and (
                coalesce((select true from entries e where e.event_id = n.event_id and e.state = 'waiting'
                        and e.number >= case when n.tells then 0 else n.low_water end
                    order by e.number limit 1), (
                    select true from entries e where e.event_id = n.event_id and e.state = 'standby'
                        and e.number >= case when n.tells then 0 else n.standby_from end
                    order by e.number limit 1), false)))
            limit 1) b on true
    ), idled as (
        -- Lanes before the first that has something to decide have nothing.
        update lane_state set state = 'idle', rest_until = null, rest_reason = null
        where event_id = any (array(
            select k.event_id
            from times t cross join looked n join lane_state k on k.event_id = n.event_id
            where n.is_counted
                and coalesce((n.virtual_time, n.event_id) < (t.first, t.first_id), t.first is null)
                and (k.state = 'ready' or k.rest_reason = 'gateway')
            for update of k skip locked))
    ), candidates as (
        select n.event_id, n.is_counted, n.is_ending, n.tells, n.is_pressing, n.has_wake, n.low_water,
            n.standby_from, n.takes_entries, t.present,
            case when n.is_counted then n.virtual_time
                 else greatest(n.virtual_time, t.present) end::double precision as place,
            n.is_due and n.may_go and (not n.is_counted
                or coalesce(n.virtual_time <= t.behind + p_ahead / n.weight, true)) as may_go
        from looked n cross join times t
        where not n.is_counted or (n.virtual_time, n.event_id) >= (t.first, t.first_id)
    )
    select n.event_id, n.is_counted, n.present into chosen, counts, present
    from (select * from candidates order by place, is_counted, event_id offset 0) n
    cross join lateral (
        select from lane_state s
        where s.event_id = n.event_id and (coalesce(s.rest_until <= moment, true)
            or n.is_ending or n.tells or n.is_pressing)
        for update skip locked) s
    where n.is_ending or n.may_go and n.has_wake or (n.may_go and n.takes_entries or n.tells) and (
        coalesce((select true from entries e where e.event_id = n.event_id and e.state = 'waiting'
                and e.number >= case when n.tells then 0 else n.low_water end
            order by e.number limit 1), (
            select true from entries e where e.event_id = n.event_id and e.state = 'standby'
                and e.number >= case when n.tells then 0 else n.standby_from end
            order by e.number limit 1), false))
    order by n.place, n.is_counted, n.event_id
    limit 1;
    if not counts then
        update lane_state set virtual_time = present
        where event_id = chosen and virtual_time < present;
    end if;
    return chosen;
end $$;

/* Returns the gateway accounts for which more than p_most tasks of the saga wait for a worker; p_most null:
   none. Organisations that sell through one account share its backlog; that of another account is not
   theirs. Tasks that wait for others of their buyer or address
   (put_off) do not count, and those whose gateway is away do not, either: they say
   nothing about the speed of the others. */
create or replace function backlogged_accounts(p_most integer) returns bigint[]
language sql stable as $$
    select coalesce(array_agg(s.id), '{}') from (
        select a.real_account_id as account
        from (select event_id from outbox t
              where t.actor = 'advance' and t.key is not null and t.run_at <= clock_timestamp()
                  and not t.put_off
              limit 5 * (p_most + 1)) t
        join events e on e.id = t.event_id
        join gateway_accounts a on a.id = e.gateway_account_id
        where p_most is not null and not exists (
            select from outages o
            where o.gateway_account_id = e.gateway_account_id and o.closed_at is null)
        group by a.real_account_id having count(*) > p_most) x
    join gateway_accounts s on s.real_account_id = x.account
$$;
