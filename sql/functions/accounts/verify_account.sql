/* Notes that a person has proven to read the mail of the account's address. The first time this ends the
   account's password, its passkeys, its second factor and all of its sessions: another person may have made it,
   and would else keep a way in, or the only key to the roles into which the owner is invited. */
create or replace function verify_account(p_account bigint) returns void language plpgsql as $$
begin
    update accounts set verified_at = clock_timestamp(), password_hash = null
    where id = p_account and verified_at is null;
    if found then
        perform end_sessions(p_account);
        delete from passkeys where account_id = p_account;
        delete from second_factors where account_id = p_account;
        delete from sealed_secrets where purpose = 'totp_seed' and owner = p_account::text;
    end if;
end $$;
