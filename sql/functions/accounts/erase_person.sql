/* Closes an account for good and erases who its person is: address, name, ways in, and the personal values of acts
   with their key. The account's row stays, since bookings name it. The caller has locked it, and erases what
   other chapters hold. */
create or replace function erase_person(p_account bigint) returns void language plpgsql as $$
begin
    update buyers set email = format('erased-%s@erased.invalid', id), name = 'erased', locale = 'en'
    where id = p_account;
    update accounts
    set password_hash = null, closed_at = coalesce(closed_at, clock_timestamp()), erased_at = clock_timestamp(),
        blocked_reason = case when blocked_at is not null then 'erased' end
    where id = p_account;
    perform end_sessions(p_account);
    update sessions set name = 'erased' where account_id = p_account;
    delete from address_changes where account_id = p_account;
    delete from mailed_codes where account_id = p_account;
    delete from passkeys where account_id = p_account;
    delete from second_factors where account_id = p_account;
    delete from sealed_secrets where purpose = 'totp_seed' and owner = p_account::text;
    delete from identities where membership_id in (select id from memberships where account_id = p_account);
    update invitations set ended_at = clock_timestamp()
    where account_id = p_account and accepted_at is null and ended_at is null;
    delete from audit_personal where account_id = p_account;
    delete from account_keys where account_id = p_account;
end $$;
