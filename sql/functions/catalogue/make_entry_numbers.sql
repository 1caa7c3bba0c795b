/* Makes the sequence of an event's queue numbers. It runs with the rights of the schema's owner, since the role
   of the processes makes no objects (ops/deploy/roles.py). */
create or replace function make_entry_numbers(p_event bigint) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    execute format('create sequence entry_numbers_%s cache 1', p_event);
end $$;
