/* Refuses changes to state_log. guard_log adds a trigger for TRUNCATE to each partition. */
create or replace function refuse_log_writes() returns trigger language plpgsql as $$
begin
    raise exception 'state_log is append-only and written by triggers alone';
end $$;

create or replace trigger state_log_append_only before update or delete on state_log
    for each row execute function refuse_log_writes();

create or replace trigger state_log_by_triggers_only before insert on state_log
    for each row when (pg_trigger_depth() = 0) execute function refuse_log_writes();
