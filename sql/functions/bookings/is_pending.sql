/* Tells whether bookings that may still end have seats of a category. Usually the first booking that is
   read has one. */
create or replace function is_pending(p_event bigint, p_category integer) returns boolean
language sql stable set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select exists (
        select from bookings b
        join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
        where b.event_id = p_event and i.category = p_category
            and booking_is_open(b.state))
$$;
