/* Refuses changes to state_log, but for the deletion of what is about a purged hold. guard_log adds a trigger
   for TRUNCATE to each partition. */
create or replace function refuse_log_writes() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        if is_of_purged_hold(old.event_id, old.noun, old.id) then
            return old;
        end if;
    end if;
    raise exception 'state_log is append-only and written by triggers alone';
end $$;

/* Tells whether the log is about a hold that was purged: its booking is gone, not into the archive, and was
   never more than a hold. What was paid, or was tried to be, keeps its log. */
create or replace function is_of_purged_hold(p_event bigint, p_noun text, p_id uuid) returns boolean
language sql stable set enable_seqscan = off as $$
    select p_noun = 'booking'
        and not exists (select from bookings where event_id = p_event and id = p_id)
        and exists (select from events where id = p_event and archive_month is null)
        and not exists (select from state_log where event_id = p_event and id = p_id
            and new_state not in ('held', 'expired', 'cancelled'))
$$;

create or replace trigger state_log_append_only before update or delete on state_log
    for each row execute function refuse_log_writes();

create or replace trigger state_log_by_triggers_only before insert on state_log
    for each row when (pg_trigger_depth() = 0) execute function refuse_log_writes();
