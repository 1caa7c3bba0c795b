/* Tries erasures that were postponed again, at most p_limit, those first that were not looked at for longest;
   accounts that were closed p_days ago join them, unless they are opened again. Returns how many were done. */
create or replace function erase_due(p_limit integer, p_days integer) returns integer language plpgsql as $$
declare
    account bigint;
    why text[];
    done integer := 0;
begin
    delete from erasures e using accounts a
    where e.erased_at is null and e.requested_by = acting() and a.id = e.account_id and a.closed_at is null;
    insert into erasures (account_id, requested_by, checked_at)
    select id, acting(), '-infinity' from accounts
    where closed_at < clock_timestamp() - make_interval(days => p_days) and erased_at is null
    order by closed_at limit p_limit
    on conflict do nothing;
    for account in
        select account_id from erasures where erased_at is null
        order by checked_at limit p_limit for update skip locked
    loop
        why := erase_account(account);
        update erasures
        set because = why, checked_at = clock_timestamp(),
            erased_at = case why when '{}' then clock_timestamp() end,
            sweep_at = case why when '{}' then clock_timestamp() + interval '1 h' end
        where account_id = account;
        done := done + (why = '{}')::integer;
    end loop;
    return done;
end $$;
