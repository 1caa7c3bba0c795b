/* A booking of seats of an event shares this lock for the transaction, and looks at the event after it;
   the task that cancels it takes the lock alone once before it looks at the bookings. So it finds those of
   all that saw the event on sale, and nothing is booked later. */
create or replace function lock_sale(p_event bigint, p_alone boolean) returns void
language plpgsql as $$
declare
    key constant bigint := hashtextextended('sale ' || p_event, 0);
begin
    if p_alone then
        perform pg_advisory_xact_lock(key);
    else
        perform pg_advisory_xact_lock_shared(key);
    end if;
end $$;
