/* Writes the next part of an export that was asked for, p_limit of each kind at most; with the last one its person is
   told by mail. Returns whether there is more to write: not if the data were erased meanwhile, either. */
create or replace function write_export_part(p_account bigint, p_limit integer) returns boolean
language plpgsql as $$
declare
    export personal_exports;
    page jsonb;
begin
    select * into export from personal_exports where account_id = p_account and finished_at is null for update;
    if not found then
        return false;
    end if;
    page := export_page(p_account, export.next, p_limit);
    if page is null then
        delete from personal_exports where account_id = p_account;
        return false;
    end if;
    insert into personal_export_parts (account_id, part, document)
    select p_account, coalesce(max(part), 0) + 1, page from personal_export_parts where account_id = p_account;
    update personal_exports set next = page ->> 'next',
        finished_at = case when page ->> 'next' is null then clock_timestamp() end
    where account_id = p_account;
    if page ->> 'next' is null then
        perform mail_staff(p_account, 'export_ready', '{}');
    end if;
    return page ->> 'next' is not null;
end $$;
