/* Writes the next p_limit entries of a queue ending, in the order of their numbers. When there are no more,
   it deletes the ending (finished). written: how many entries. */
create or replace function write_queue_ending(
    p_event bigint, p_limit integer, out written integer, out finished boolean)
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    ending queue_endings;
    numbers bigint[];
begin
    select * into ending from queue_endings where event_id = p_event;
    select array_agg(w.number order by w.number) into numbers from (
        (select number from entries where event_id = p_event and state = 'waiting'
            and number > ending.written_to and number <= ending.last_number
            and (ending.everyone or accessible = 0 and seats is null)
         order by number limit p_limit)
        union all
        (select number from entries where event_id = p_event and state = 'standby'
            and number > ending.written_to and number <= ending.last_number
            and (ending.everyone or accessible = 0 and seats is null)
         order by number limit p_limit)
        order by number limit p_limit) w;
    update entries e
    set state = 'unavailable', decided_at = clock_timestamp(), reason = ending.reason
    from (select id from entries
          where event_id = p_event and number = any (numbers) and entry_is_waiting(state)
          order by number for update) w
    where e.event_id = p_event and e.id = w.id;
    get diagnostics written = row_count;
    finished := coalesce(cardinality(numbers), 0) < p_limit;
    if finished then
        delete from queue_endings where event_id = p_event;
    else
        update queue_endings set written_to = numbers[p_limit] where event_id = p_event;
    end if;
end $$;
