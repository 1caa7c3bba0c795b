/* Returns where a mail to an account goes: to its address, but for mails about a change of that. */
create or replace function account_address(p_account bigint, p_template text) returns text
language sql stable as $$
    select coalesce((
        select case when p_template = 'new_address' then c.new_email else c.old_email end
        from address_changes c
        where p_template in ('new_address', 'old_address', 'address_left') and c.account_id = p_account),
        (select email from buyers where id = p_account))
$$;
