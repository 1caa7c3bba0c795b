/* Notes that a person has proven to read the mail of the account's address. The first time this ends the
   account's password and all of its sessions: another person may have made it. */
create or replace function verify_account(p_account bigint) returns void language plpgsql as $$
begin
    update accounts set verified_at = clock_timestamp(), password_hash = null
    where id = p_account and verified_at is null;
    if found then
        perform end_sessions(p_account);
    end if;
end $$;
