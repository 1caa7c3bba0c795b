/* Checks every change of state against legal_moves, all rows of a statement at once. Changes of bookings,
   payments and refunds are also written to state_log, which only triggers may write. */
create or replace function check_moves() returns trigger language plpgsql
set enable_nestloop = off set enable_hashjoin = on set jit = off set plan_cache_mode = auto as $$
declare
    bad text;
begin
    select format('%s %s: %s may not become %s', tg_argv[0], n.id, o.state, n.state) into bad
    from old_rows o join new_rows n on n.id = o.id
    where n.state <> o.state and not exists (
        select from legal_moves m
        where m.noun = tg_argv[0] and m.old_state = o.state and m.new_state = n.state)
    limit 1;
    if bad is not null then
        raise exception using errcode = 'check_violation', message = bad, constraint = 'legal_moves';
    end if;
    if tg_argv[1] = 'logged' then
        insert into state_log (event_id, noun, id, old_state, new_state, actor)
        select n.event_id, tg_argv[0], n.id, o.state, n.state,
            nullif(current_setting('usher.acting', true), '')
        from old_rows o join new_rows n on n.id = o.id
        where n.state <> o.state;
    end if;
    return null;
end $$;
