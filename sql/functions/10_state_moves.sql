/* Every change of state is checked against legal_moves from OLD and NEW, a whole statement at once;
   those of bookings, payments and refunds are written to state_log, which nobody else may write. */

create or replace function check_moves() returns trigger language plpgsql
set enable_nestloop = off set jit = off as $$
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
        select n.event_id, tg_argv[0], n.id, o.state, n.state, current_setting('usher.actor', true)
        from old_rows o join new_rows n on n.id = o.id
        where n.state <> o.state;
    end if;
    return null;
end $$;

create or replace function log_birth() returns trigger language plpgsql as $$
begin
    insert into state_log (event_id, noun, id, new_state, actor)
    select event_id, tg_argv[0], id, state, current_setting('usher.actor', true) from new_rows;
    return null;
end $$;

create or replace function check_seat_moves() returns trigger language plpgsql
set enable_nestloop = off set jit = off as $$
declare
    bad text;
begin
    select format('seat %s of event %s: %s may not become %s', n.seat, n.event_id, o.state, n.state)
    into bad
    from old_rows o join new_rows n on n.event_id = o.event_id and n.seat = o.seat
    where n.state <> o.state and not exists (
            select from legal_moves m
            where m.noun = 'seat' and m.old_state = o.state and m.new_state = n.state)
        or n.booking_id <> o.booking_id
    limit 1;
    if bad is not null then
        raise exception using errcode = 'check_violation', message = bad, constraint = 'legal_moves';
    end if;
    return null;
end $$;

create or replace trigger entries_moves after update on entries
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('entry', 'unlogged');
create or replace trigger seats_moves after update on seats
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_seat_moves();
create or replace trigger bookings_moves after update on bookings
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('booking', 'logged');
create or replace trigger bookings_birth after insert on bookings
    referencing new table as new_rows
    for each statement execute function log_birth('booking');
create or replace trigger payments_moves after update on payments
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('payment', 'logged');
create or replace trigger payments_birth after insert on payments
    referencing new table as new_rows
    for each statement execute function log_birth('payment');
create or replace trigger refunds_moves after update on refunds
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('refund', 'logged');
create or replace trigger refunds_birth after insert on refunds
    referencing new table as new_rows
    for each statement execute function log_birth('refund');

create or replace function refuse_log_writes() returns trigger language plpgsql as $$
begin
    raise exception 'state_log is append-only and written by triggers alone';
end $$;

create or replace trigger state_log_append_only before update or delete on state_log
    for each row execute function refuse_log_writes();
create or replace trigger state_log_by_triggers_only before insert on state_log
    for each row when (pg_trigger_depth() = 0) execute function refuse_log_writes();
