/* Gives an account the address that it asked for, which both addresses have confirmed, and tells both. False: it
   asked for another one since, or its address has changed. Codes on their way to the old address open nothing
   any more. Errors: unique_violation: another account has it. */
create or replace function change_address(p_account bigint) returns boolean language plpgsql as $$
declare
    told record;
begin
    update address_changes c set confirmed_at = clock_timestamp()
    where c.account_id = p_account and c.confirmed_at is null
        and c.created_at > clock_timestamp() - interval '15 min'
        and c.old_email = (select email from buyers where id = p_account);
    if not found then
        return false;
    end if;
    update buyers set email = c.new_email from address_changes c
    where buyers.id = p_account and c.account_id = p_account;
    update mailed_codes set used_at = clock_timestamp() where account_id = p_account and used_at is null;
    perform verify_account(p_account);
    for told in
        insert into emails (buyer_id, template, context)
        values (p_account, 'address_left', '{}'), (p_account, 'address_changed', '{}')
        returning id
    loop
        perform enqueue('send_email', 'mail', null, jsonb_build_object('email_id', told.id));
    end loop;
    return true;
end $$;
