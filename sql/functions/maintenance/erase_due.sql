/* Tries erasures that were postponed again, at most p_limit, those first that were not looked at for longest;
   returns how many were done. */
create or replace function erase_due(p_limit integer) returns integer language plpgsql as $$
declare
    account bigint;
    why text[];
    done integer := 0;
begin
    for account in
        select account_id from erasures where erased_at is null
        order by checked_at limit p_limit for update skip locked
    loop
        why := erase_account(account);
        update erasures
        set because = why, checked_at = clock_timestamp(),
            erased_at = case why when '{}' then clock_timestamp() end
        where account_id = account;
        done := done + (why = '{}')::integer;
    end loop;
    return done;
end $$;
