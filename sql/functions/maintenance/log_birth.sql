/* Writes the first state of new rows to state_log. */
create or replace function log_birth() returns trigger language plpgsql as $$
begin
    insert into state_log (event_id, noun, id, new_state, actor)
    select event_id, tg_argv[0], id, state, nullif(current_setting('usher.acting', true), '') from new_rows;
    return null;
end $$;
