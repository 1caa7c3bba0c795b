/* Tells entries that there is nothing for them. */
create or replace function refuse_entries(p_event bigint, p_ids uuid[], p_reason text)
returns integer language plpgsql as $$
declare
    told integer;
begin
    update entries set state = 'unavailable', decided_at = clock_timestamp(), reason = p_reason
    where event_id = p_event and id = any (p_ids) and state in ('waiting', 'standby');
    get diagnostics told = row_count;
    return told;
end $$;

/* Writes the next p_limit of those who were told by end_queue, in the order of their numbers. Returns
   how many, and forgets about it when there are no more. */
create or replace function write_ended(p_event bigint, p_limit integer) returns integer
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    lane lanes;
    numbers bigint[];
    written integer;
begin
    select * into lane from lanes where event_id = p_event;
    select array_agg(w.number order by w.number) into numbers from (
        (select number from entries where event_id = p_event and state = 'waiting'
            and number > lane.told_from and number <= lane.told_through
            and (lane.told_all or accessible = 0 and seats is null)
         order by number limit p_limit)
        union all
        (select number from entries where event_id = p_event and state = 'standby'
            and number > lane.told_from and number <= lane.told_through
            and (lane.told_all or accessible = 0 and seats is null)
         order by number limit p_limit)
        order by number limit p_limit) w;
    update entries e
    set state = 'unavailable', decided_at = clock_timestamp(), reason = lane.told_reason
    from (select id from entries
          where event_id = p_event and number = any (numbers) and state in ('waiting', 'standby')
          order by number for update) w
    where e.event_id = p_event and e.id = w.id;
    get diagnostics written = row_count;
    if coalesce(cardinality(numbers), 0) < p_limit then
        update lanes
        set told_through = null, told_reason = null, busy = false, stalled = false
        where event_id = p_event;
    else
        update lanes set told_from = numbers[p_limit] where event_id = p_event;
    end if;
    return written;
end $$;

/* Whether end_queue has told an entry what is yet to be written. */
create or replace function is_told(p_lane lanes, p_entry entries) returns boolean
language sql immutable as $$
    select coalesce(p_entry.state in ('waiting', 'standby') and p_entry.number <= p_lane.told_through
        and (p_lane.told_all or p_entry.accessible = 0 and p_entry.seats is null), false)
$$;

/* Tells everybody who still waits in a lane, at once: one row says so, and is what they are shown
   (sql/queries/entries.sql). The entries themselves, of which there may be a million, are written
   piece by piece, p_limit now and the others by the next drains. Returns how many were written.
   p_all false: those who need accessible places, or name seats, are left out, as some are free. */
create or replace function end_queue(
    p_event bigint, p_reason text, p_limit integer default 5000, p_all boolean default true)
returns integer language plpgsql as $$
begin
    update lanes
    set told_through = last.number, told_from = 0, told_reason = p_reason,
        told_all = p_all, now_serving = greatest(now_serving, last.number)
    from (select coalesce(pg_sequence_last_value(format('entry_numbers_%s', p_event)::regclass), 0)
              as number) last
    where event_id = p_event;
    return write_ended(p_event, p_limit);
end $$;

/* Whether seats of a category are held by bookings that are not settled. Most often the first booking
   that is looked at says so. */
create or replace function is_pending(p_event bigint, p_category integer) returns boolean
language sql stable set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select exists (
        select from bookings b
        join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
        where b.event_id = p_event and i.category = p_category
            and b.state in ('held', 'authorising', 'expiring', 'review', 'secured'))
$$;

/* Whether somebody on standby hopes for a category of which nothing is held any more. */
create or replace function hope_has_ended(p_event bigint) returns boolean
language sql stable as $$
    select not exists (
            select from bookings where event_id = p_event
                and state in ('held', 'authorising', 'expiring', 'review', 'secured'))
        or exists (
            select from event_categories c
            where c.event_id = p_event
                and exists (select from entries e where e.event_id = p_event and e.state = 'standby'
                    and e.category = c.category)
                and not is_pending(p_event, c.category))
$$;

/* Free seats of a kind, counted up to p_most. */
create or replace function count_free(
    p_event bigint, p_category integer, p_accessible integer, p_most integer)
returns integer language sql stable as $$
    select count(*)::integer from (
        select from seats s
        where s.event_id = p_event and s.state = 'free' and s.allocation is null
            and (p_accessible > 0 or not s.kept) and (p_category is null or s.category = p_category)
        limit p_most) s
$$;

/* Decides what becomes of entries that could not be met: on standby while held seats might still come
   back for them, or came back while the batch was decided, otherwise told at once. Counts decide, of
   one moment, never a lock that was in the way (p_raced). Who wants a pass may hope while seats are
   held, or others have passes that they may not use.
   p_at_once: see end_queue.
   True: nothing at all is free, but something is held, so the lane had better wait as it is. */
create or replace function settle_failed(
    p_show events, p_ids uuid[], p_raced boolean, p_at_once integer)
returns boolean language plpgsql set jit = off as $$
declare
    pending smallint[];  -- categories of which seats are held by bookings not yet settled
    some_free boolean;
    some_unkept boolean;  -- of them for everybody, wheelchair or not
    woken boolean;      -- something was released since the batch began
    passes boolean;
begin
    select coalesce(array_agg(c.category) filter (where is_pending(p_show.id, c.category)), '{}'),
        exists (select from seats
                where event_id = p_show.id and state = 'free' and allocation is null),
        count_free(p_show.id, null, 0, 1) = 1,
        exists (select from lane_wakes where event_id = p_show.id and released),
        exists (select from entries where event_id = p_show.id and state = 'admitted'
                and pass_state <> 'missed' and pass_until > clock_timestamp())
    into pending, some_free, some_unkept, woken, passes
    from event_categories c where c.event_id = p_show.id;
    if cardinality(pending) = 0 and not some_unkept then
        perform end_queue(p_show.id, 'sold_out', p_at_once, not some_free);
    end if;
    if not some_free then
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
        select w.id, least(f.free, w.quantity) as free,
            p_raced or woken or case when w.admission
                then passes or cardinality(pending) > 0 or f.free > 0
            when w.seats is null
                then w.category = any (pending) or w.category is null and cardinality(pending) > 0
            else not exists (select from seats s where s.event_id = p_show.id
                    and s.seat = any (w.seats)
                    and (s.state not in ('free', 'held') or s.allocation is not null)) end as exists
        from entries w
        join (select k.category, k.accessible, count_free(p_show.id, k.category, k.accessible, 50) as free
              from (select distinct category::integer, sign(accessible)::integer as accessible
                    from entries where event_id = p_show.id and id = any (p_ids)) k) f
            on f.category is not distinct from w.category and f.accessible = sign(w.accessible)
        where w.event_id = p_show.id and w.id = any (p_ids)
    ) hope
    where e.event_id = p_show.id and e.id = hope.id
        and (e.state = 'waiting' or e.state = 'standby' and not hope.exists);
    if p_raced then
        insert into lane_wakes (event_id) values (p_show.id);
    end if;
    return false;
end $$;
