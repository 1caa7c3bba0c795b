/* Erases what came in about accounts after their erasure: a notification of the gateway that was late, the card of a
   payment that a token of the last seconds had begun. An hour after the erasure, and then each time after twice
   as long, for 90 days. At most p_limit; returns how many were looked at. */
create or replace function sweep_erased(p_limit integer) returns integer language plpgsql as $$
declare
    due record;
    swept integer := 0;
begin
    for due in
        select account_id, erased_at from erasures where sweep_at <= clock_timestamp()
        order by sweep_at limit p_limit for update skip locked
    loop
        perform from bookings where buyer_id = due.account_id order by event_id, id for update;
        if erasure_blocks(due.account_id) = '{}' then
            perform erase_bookings(due.account_id);
            update erasures set sweep_at = case when erased_at > clock_timestamp() - interval '90 days'
                then clock_timestamp() + greatest(clock_timestamp() - erased_at, interval '1 h') end
            where account_id = due.account_id;
        else
            update erasures set sweep_at = clock_timestamp() + interval '1 h' where account_id = due.account_id;
        end if;
        swept := swept + 1;
    end loop;
    return swept;
end $$;
