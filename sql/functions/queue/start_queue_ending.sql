/* Ends a queue: tells all entries that still wait in a lane, at once, that there is nothing. One row says
   so, and is what they are shown (sql/queries/queue/entries.sql); the entries themselves, of which there
   may be a million, are written piece by piece (write_queue_ending). The caller holds the lane's lock, and
   makes the lane's state `ending`. Returns the number up to which it tells them.
   p_everyone false: those that need accessible places, or name seats, are left out, as some are free. */
create or replace function start_queue_ending(
    p_event bigint, p_reason text, p_everyone boolean default true)
returns bigint language sql as $$
    insert into queue_endings (event_id, reason, last_number, everyone)
    values (p_event, p_reason, coalesce(pg_sequence_last_value(
        format('entry_numbers_%s', p_event)::regclass), 0), p_everyone)
    returning last_number
$$;
