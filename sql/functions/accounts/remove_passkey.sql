/* Deletes one of a person's passkeys, and with the last second factor the recovery codes. Sessions in which a second
   factor was given count as if it was not, since it may have been this one. */
create or replace function remove_passkey(p_account bigint, p_passkey bigint) returns void language plpgsql as $$
begin
    delete from passkeys where id = p_passkey and account_id = p_account;
    if found then
        perform forget_recovery_codes(p_account);
        update sessions set second_factor_at = null where account_id = p_account and organisation_id is null;
    end if;
end $$;
