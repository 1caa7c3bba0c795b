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
