/* Locks the sale of an event until the transaction ends. A transaction that books seats shares the lock,
   and reads the event's state afterwards. The task that cancels the event takes the lock alone once,
   before it reads the bookings. So it finds the bookings of all transactions that saw the event on sale,
   and no seat is booked later. */
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
