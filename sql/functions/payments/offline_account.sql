/* Returns the gateway account of an organisation for offline payments; the first call makes it. */
create or replace function offline_account(p_organisation bigint) returns bigint
language sql as $$
    insert into gateway_accounts (organisation_id, provider) values (p_organisation, 'offline')
    on conflict (organisation_id) where provider = 'offline' do nothing;
    select id from gateway_accounts where organisation_id = p_organisation and provider = 'offline';
$$;
