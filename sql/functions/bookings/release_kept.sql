/* Releases the kept seats of events that begin soon, as each event's setting says: from then on they are
   sold to all. Wakes the lanes. Returns how many events there were. */
create or replace function release_kept() returns integer language plpgsql as $$
declare
    due bigint[];
    released integer;
begin
    due := array(
        select id from events
        where accessible_release_seconds is not null and accessible_released_at is null
            and state in ('on_sale', 'closed')
            and starts_at < clock_timestamp() + make_interval(secs => accessible_release_seconds)
        order by id for update skip locked);
    for i in 1 .. cardinality(due) loop
        perform from seats where event_id = due[i] and kept order by seat for update;
        update seats set kept = false where event_id = due[i] and kept;
        get diagnostics released = row_count;
        update events set accessible_released_at = clock_timestamp() where id = due[i];
        perform audit('kept seats released', due[i], jsonb_build_object('seats', released));
        insert into lane_wakes (event_id) values (due[i]);
    end loop;
    return cardinality(due);
end $$;
