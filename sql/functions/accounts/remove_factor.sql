/* Stops using a person's app, and returns whether there was one. Recovery codes stay while there is a passkey.
   Sessions in which a second factor was given count as if it was not. */
create or replace function remove_factor(p_account bigint) returns boolean language plpgsql as $$
begin
    update second_factors set confirmed_at = null where account_id = p_account and confirmed_at is not null;
    if not found then
        return false;
    end if;
    perform forget_recovery_codes(p_account);
    update sessions set second_factor_at = null where account_id = p_account and organisation_id is null;
    return true;
end $$;
