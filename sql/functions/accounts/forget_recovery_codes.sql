/* Forgets the recovery codes of a person who has no second factor any more, neither an app nor a passkey: another
   one that comes later has codes of its own. */
create or replace function forget_recovery_codes(p_account bigint) returns void language sql as $$
    delete from second_factors
    where account_id = p_account and confirmed_at is null
        and not exists (select from passkeys where account_id = p_account)
$$;
