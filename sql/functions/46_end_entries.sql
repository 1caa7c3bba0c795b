/* Tells entries that there is nothing for them. */
create or replace function refuse_entries(p_event bigint, p_ids uuid[], p_reason text)
returns integer language plpgsql as $$
declare
    told integer;
begin
    update entries set state = 'unavailable', decided_at = clock_timestamp(), reason = p_reason
    where event_id = p_event and id = any (p_ids) and state in ('waiting', 'standby', 'admitted');
    get diagnostics told = row_count;
    return told;
end $$;

/* Tells everybody who still waits in a lane, in one statement. */
create or replace function end_queue(p_event bigint, p_reason text) returns integer
language plpgsql as $$
declare
    told integer;
    last_told bigint;
begin
    with ended as (
        update entries set state = 'unavailable', decided_at = clock_timestamp(), reason = p_reason
        where event_id = p_event and state in ('waiting', 'standby')
        returning number
    )
    select count(*), max(number) into told, last_told from ended;
    update lanes set now_serving = greatest(now_serving, last_told) where event_id = p_event;
    return told;
end $$;

/* Whether somebody on standby hopes for a category of which nothing is held any more. */
create or replace function hope_has_ended(p_event bigint) returns boolean
language sql stable as $$
    with pending as materialized (
        select distinct i.category
        from bookings b
        join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
        where b.event_id = p_event
            and b.state in ('held', 'authorising', 'expiring', 'review', 'secured')
    )
    select exists (
        select from event_categories c
        where c.event_id = p_event and c.category not in (select category from pending)
            and exists (select from entries e where e.event_id = p_event and e.state = 'standby'
                and e.category = c.category))
        or not exists (select from pending)
$$;

/* Decides what becomes of entries that could not be met: on standby while held seats might still come
   back for them, or came back while the batch was decided, otherwise told at once. Counts decide, of
   one moment, never a lock that was in the way (p_raced).
   True: nothing at all is free, but something is held, so the lane had better wait as it is. */
create or replace function settle_failed(p_show events, p_ids uuid[], p_raced boolean)
returns boolean language plpgsql set jit = off as $$
declare
    pending integer[];  -- categories of which seats are held by bookings not yet settled
    some_free boolean;
    woken boolean;      -- something was released since the batch began
begin
    select coalesce(array_agg(distinct i.category::integer), '{}'),
        exists (select from seats
                where event_id = p_show.id and state = 'free' and allocation is null),
        exists (select from lane_wakes where event_id = p_show.id and released)
    into pending, some_free, woken
    from bookings b
    join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
    where b.event_id = p_show.id
        and b.state in ('held', 'authorising', 'expiring', 'review', 'secured');
    if not some_free then
        if cardinality(pending) = 0 then
            perform end_queue(p_show.id, 'sold_out');
        end if;
        return cardinality(pending) > 0;
    end if;

    update entries e
    set state = case when hope.exists then 'standby' else 'unavailable' end,
        decided_at = case when not hope.exists then clock_timestamp() end,
        reason = case when hope.exists then null
                      when e.seats is not null then 'seats_taken'
                      when hope.free >= e.quantity then 'not_together'
                      else 'sold_out' end
    from (
        select w.id, f.free,
            p_raced or woken or case when w.seats is null
                then w.category = any (pending) or w.category is null and cardinality(pending) > 0
                else not exists (select from seats s where s.event_id = p_show.id
                    and s.seat = any (w.seats)
                    and (s.state not in ('free', 'held') or s.allocation is not null)) end as exists
        from entries w
        cross join lateral (select count(*) as free from (
            select from seats s where s.event_id = p_show.id and s.state = 'free'
                and s.allocation is null and (w.accessible > 0 or not s.kept)
                and (w.category is null or s.category = w.category)
            limit w.quantity) s) f
        where w.event_id = p_show.id and w.id = any (p_ids)
    ) hope
    where e.event_id = p_show.id and e.id = hope.id
        and (e.state = 'waiting' or e.state = 'standby' and not hope.exists);
    if p_raced then
        insert into lane_wakes (event_id) values (p_show.id);
    end if;
    return false;
end $$;
