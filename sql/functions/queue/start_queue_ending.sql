/* Starts a queue ending: one row tells all waiting entries of a lane at once that there is nothing left.
   Their buyers see it from then on (sql/queries/queue/entries.sql); the entries themselves, perhaps a
   million, are written piece by piece (write_queue_ending). The caller has locked the lane and sets its
   state to `ending`. Returns the highest number that is told.
   p_everyone false: entries that need accessible seats or name seats are left out: some seats are free. */
create or replace function start_queue_ending(
    p_event bigint, p_reason text, p_everyone boolean default true)
returns bigint language sql as $$
    insert into queue_endings (event_id, reason, last_number, everyone)
    values (p_event, p_reason, coalesce(pg_sequence_last_value(
        format('entry_numbers_%s', p_event)::regclass), 0), p_everyone)
    returning last_number
$$;
