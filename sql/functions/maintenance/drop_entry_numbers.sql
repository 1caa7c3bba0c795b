/* Drops the sequence of an archived event's queue numbers, with the rights of the schema's owner. */
create or replace function drop_entry_numbers(p_event bigint) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if not exists (select from events where id = p_event and state = 'on_sale') then
        execute format('drop sequence if exists entry_numbers_%s', p_event);
    end if;
end $$;
