/* Rolls the transaction back if a task was not enqueued that is needed, because the row that says so has
   changed between the enqueue and its lock. The caller begins again: `retried` of db/connections.py.
   Errors: serialization_failure. */
create or replace function check_woken(p_is_well boolean) returns void language plpgsql as $$
begin
    if p_is_well is not true then
        raise exception 'a row has changed since its task was enqueued' using errcode = 'serialization_failure';
    end if;
end $$;
