/* A new row is the platform's account in its mode, if there is one, or an account of its own. An outage of the
   account that it shares is one of it, too. The lock keeps two organisations from being the first at once. */
create or replace function find_real_account() returns trigger language plpgsql as $$
begin
    if new.provider <> 'offline' and new.access = 'platform' then
        perform pg_advisory_xact_lock(hashtext('gateway_accounts'), hashtext(new.provider || new.mode));
        new.real_account_id := (
            select min(real_account_id) from gateway_accounts
            where provider = new.provider and mode = new.mode and access = 'platform'
                and external_account is not distinct from new.external_account);
    end if;
    new.real_account_id := coalesce(new.real_account_id, new.id);
    return new;
end $$;

create or replace trigger gateway_accounts_real before insert on gateway_accounts
    for each row execute function find_real_account();

create or replace function share_outage() returns trigger language plpgsql as $$
begin
    -- Opening and closing begin with this row.
    perform from gateway_circuits where gateway_account_id = new.real_account_id for share;
    insert into outages (gateway_account_id, opened_at, reason)
    select new.id, opened_at, reason from outages
    where gateway_account_id = new.real_account_id and closed_at is null and new.id <> new.real_account_id;
    return null;
end $$;

create or replace trigger gateway_accounts_outage after insert on gateway_accounts
    for each row execute function share_outage();
