/* Asks for an export of an account's personal data, in place of one that is older than a day: a task writes it. */
create or replace function request_export(p_account bigint) returns void language plpgsql as $$
begin
    perform enqueue('write_export', 'maintenance', p_account::text, jsonb_build_object('account_id', p_account),
        p_priority => 80);
    delete from personal_exports
    where account_id = p_account and finished_at < clock_timestamp() - interval '1 day';
    insert into personal_exports (account_id) values (p_account) on conflict (account_id) do nothing;
    if found then
        perform audit('personal data export requested', null, '{}', null, p_account);
    end if;
end $$;
