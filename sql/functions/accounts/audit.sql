/* Adds an act to the audit log: what staff, an organiser, an operator or a task did, or read of persons.

   p_detail: what stays for ever: ids, amounts, changes as {"field": {"from": …, "to": …}}.
   p_organisation: left out: the event's; neither: the platform's.
   p_account: the account that the act is about; null: none, or many.
   p_personal: values of that account's person: addresses, names, what people wrote in their own words. They are
   kept apart, and are gone when the account is erased. */
create or replace function audit(
    p_action text, p_event bigint, p_detail jsonb, p_organisation bigint default null,
    p_account bigint default null, p_personal jsonb default null)
returns void language plpgsql as $$
declare
    key constant bytea := case when p_personal is not null then take_account_key(p_account) end;
    act bigint;
begin
    insert into audit_log (actor, action, event_id, detail, organisation_id, account_id, personal_mac)
    values (acting(), p_action, p_event, p_detail,
        coalesce(p_organisation, (select organisation_id from events where id = p_event)), p_account,
        personal_mac(key, p_personal))
    returning id into act;
    insert into audit_personal (act_id, account_id, personal)
    select act, p_account, p_personal where key is not null;
end $$;

/* Returns the key of an account, which it gets when it is first needed. Null: the account was erased, and no
   personal values of it are kept any more. Locks the account, so that erasing it waits. */
create or replace function take_account_key(p_account bigint) returns bytea language plpgsql as $$
declare
    found_key bytea;
begin
    perform from accounts where id = p_account and erased_at is null for key share;
    if not found then
        return null;
    end if;
    insert into account_keys (account_id, key)
    values (p_account, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
    on conflict do nothing;
    select key into found_key from account_keys where account_id = p_account;
    return found_key;
end $$;
