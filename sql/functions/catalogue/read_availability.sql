/* Which seats of an event are free: the snapshots with a number above p_known, the newest first, at most
   p_limit. The newest is at most p_fresh old, and is made anew by the first who asks after that; meanwhile others
   get what there is. No row: nothing has changed since p_known, or there is no such event. Neither the seats
   nor what a sale writes are locked. */
create or replace function read_availability(
    p_event bigint, p_known bigint, p_fresh interval, p_limit integer)
returns table (number bigint, plan_version_id bigint, free bytea) language plpgsql as $$
#variable_conflict use_column
declare
    key constant bigint := hashtextextended('availability ' || p_event, 0);
begin
    if not is_availability_fresh(p_event, p_fresh) then
        if not exists (select from availability_snapshots where event_id = p_event) then
            perform pg_advisory_xact_lock(key);
            perform note_availability(p_event, p_fresh);
        elsif pg_try_advisory_xact_lock(key) then
            perform note_availability(p_event, p_fresh);
        end if;
    end if;
    return query
        select s.number, s.plan_version_id, s.free from availability_snapshots s
        where s.event_id = p_event and s.number > p_known order by s.number desc limit p_limit;
end $$;

/* Tells whether the newest snapshot was seen lately. */
create or replace function is_availability_fresh(p_event bigint, p_fresh interval) returns boolean
language sql stable as $$
    select exists (select from availability_snapshots
                   where event_id = p_event and seen_at > clock_timestamp() - p_fresh)
$$;

/* Notes which seats are free, unless another transaction has just done so: as a new snapshot, or as one more
   look at the same. Those of which no reader has the number any more are deleted. The caller has the lock. */
create or replace function note_availability(p_event bigint, p_fresh interval) returns void
language plpgsql as $$
#variable_conflict use_column
declare
    latest availability_snapshots;
    found_version bigint;
    found_free bytea;
begin
    if is_availability_fresh(p_event, p_fresh) then
        return;
    end if;
    -- One statement, so that the bits are of this version even if the event is moved meanwhile.
    select e.plan_version_id, free_bits(e.id) into found_version, found_free
    from events e where e.id = p_event and e.state <> 'draft';
    if not found then
        return;
    end if;
    select * into latest from availability_snapshots
    where event_id = p_event order by number desc limit 1;
    if latest.free = found_free and latest.plan_version_id = found_version then
        update availability_snapshots set seen_at = clock_timestamp()
        where event_id = p_event and number = latest.number;
        return;
    end if;
    insert into availability_snapshots (event_id, number, plan_version_id, free)
    values (p_event, greatest(latest.number + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint),
        found_version, found_free);
    delete from availability_snapshots
    where event_id = p_event and seen_at < clock_timestamp() - interval '5 minutes';
end $$;

/* The free seats of an event as bits: seat n is bit n % 8, the lowest first, of byte n / 8. It is worked out
   by words of 64 seats; a seat that does not exist is not free. */
create or replace function free_bits(p_event bigint) returns bytea
language sql stable set jit = off as $$
    select coalesce(string_agg(int8send(coalesce(w.bits, 0)), '' order by n.word), '')
    from generate_series(0, (select max(seat) >> 6 from seats where event_id = p_event)) n(word)
    left join (
        select seat >> 6 as word,
            bit_or(1::bigint << ((7 - ((seat >> 3) & 7)) * 8 + (seat & 7))) as bits
        from seats
        where event_id = p_event and state = 'free' and allocation is null
        group by seat >> 6) w on w.word = n.word
$$;
