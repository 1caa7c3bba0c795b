/* Restores a booking from the archive as it was, because a late notification is about it, or because an
   organiser refunds it. Its event is archived again when there is no open business left. False: the
   booking is not in the archive. */
create or replace function restore_booking(p_event bigint, p_booking uuid) returns boolean
language plpgsql as $$
declare
    kept archived_bookings;
    part record;
    before constant text := current_setting('usher.acting', true);
begin
    perform from events where id = p_event and archive_month is not null for update;
    delete from archived_bookings
    where event_id = p_event and id = p_booking
        and month = (select archive_month from events where id = p_event)
    returning * into kept;
    if kept.id is null then
        return false;
    end if;
    delete from archived_payments
    where month = kept.month and event_id = p_event and booking_id = p_booking;
    perform set_config('usher.acting', 'archive', true);  -- in the log: no change of today
    perform put_back('bookings', jsonb_build_array(kept.document -> 'booking'));
    for part in select * from archive_parts() order by n desc loop
        perform put_back(part.of_table, kept.document -> part.part);
    end loop;
    perform set_config('usher.acting', coalesce(before, ''), true);
    perform recount_buyer(p_event, kept.buyer_id);
    perform mark_for_index(p_event, array[p_booking]);
    update events set archived_at = null where id = p_event;
    perform audit('booking restored', p_event, jsonb_build_object('booking_id', p_booking));
    return true;
end $$;

/* Puts rows of a document back into their table. Columns that are newer than the document get their
   default; columns that no longer exist are left out. */
create or replace function put_back(p_table text, p_rows jsonb) returns void language plpgsql as $$
declare
    columns constant text := (
        select string_agg(quote_ident(a.attname), ', ') from pg_attribute a
        where a.attrelid = p_table::regclass and a.attnum > 0 and not a.attisdropped
            and a.attgenerated = '' and p_rows -> 0 ? a.attname);
begin
    if columns is not null then
        execute format('insert into %1$I (%2$s) select %2$s from jsonb_populate_recordset(null::%1$I, $1)',
            p_table, columns) using p_rows;
    end if;
end $$;
