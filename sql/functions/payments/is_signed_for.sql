/* Tells whether a notification counts for an account: signed with its own secret; or with the platform's, and
   it is the platform's account, or the connected one that the notification names. */
create or replace function is_signed_for(a gateway_accounts, p_account text, p_signer bigint)
returns boolean language sql immutable as $$
    select a.provider = 'stripe' and case when p_signer is null
        then case a.access when 'platform' then p_account is null
            when 'connected' then a.external_account = p_account else false end
        else a.access = 'own_keys' and a.id = p_signer end
$$;
