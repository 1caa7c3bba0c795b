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
          where event_id = p_event and number = any (numbers) and entry_is_waiting(state)
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
