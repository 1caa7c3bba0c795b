/* Closes an account that another one has taken over, with all of its sessions and passkeys: they were not
   proved to be of the person to whom the other account belongs. */
create or replace function retire_account(p_account bigint, p_into bigint) returns void language plpgsql as $$
begin
    perform end_sessions(p_account);
    delete from passkeys where account_id = p_account;
    update accounts set closed_at = clock_timestamp(), merged_into = p_into where id = p_account;
end $$;
