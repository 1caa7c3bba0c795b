/* Postpones an event that was opened, for an organiser: gives it another date, time zone or venue (null: as
   it is), and starts the task that tells the buyers. Holds and payments go on.
   p_scope: the caller's organisation; null: all organisations. outcome: 'started', with the postponement's
   number, or why not, and then the caller rolls back: 'no_event', 'not_opened', 'cancelled', 'archived',
   'no_venue' (of its organisation), 'nothing_changes', 'too_early' (give_back_until is over) or
   'after_start' (it is later than the new date). */
create or replace function start_postponement(
    p_event bigint, p_scope bigint, p_starts_at timestamptz, p_time_zone text, p_venue bigint,
    p_give_back_until timestamptz, p_reason text, out outcome text, out number smallint)
language plpgsql as $$
#variable_conflict use_column
declare
    old events;
    new events;
begin
    perform enqueue('tell_of_postponement', 'mail', id::text, jsonb_build_object('event_id', id), id)
    from events where id = p_event and (p_scope is null or organisation_id = p_scope);
    select * into old from events
    where id = p_event and (p_scope is null or organisation_id = p_scope) for update;
    new := old;
    new.starts_at := coalesce(p_starts_at, old.starts_at);
    new.time_zone := coalesce(p_time_zone, old.time_zone);
    new.venue_id := coalesce(p_venue, old.venue_id);
    outcome := case
        when old.id is null then 'no_event'
        when old.state = 'draft' then 'not_opened'
        when old.state = 'cancelled' then 'cancelled'
        when old.archive_month is not null then 'archived'
        when not exists (select from venues
            where id = new.venue_id and organisation_id = old.organisation_id) then 'no_venue'
        when (old.starts_at, old.time_zone, old.venue_id) = (new.starts_at, new.time_zone, new.venue_id)
            then 'nothing_changes'
        when p_give_back_until <= clock_timestamp() then 'too_early'
        when p_give_back_until > new.starts_at then 'after_start'
        else 'started' end;
    if outcome <> 'started' then
        return;
    end if;
    perform lock_sale(p_event, true);
    insert into postponements (event_id, number, reason, give_back_until, old_starts_at, new_starts_at,
        old_time_zone, new_time_zone, old_venue_id, new_venue_id, requested_by)
    select p_event, coalesce(max(p.number), 0) + 1, p_reason, p_give_back_until, old.starts_at,
        new.starts_at, old.time_zone, new.time_zone, old.venue_id, new.venue_id, acting()
    from postponements p where p.event_id = p_event
    returning number into number;
    update events set starts_at = new.starts_at, time_zone = new.time_zone, venue_id = new.venue_id
    where id = p_event;
    perform audit('event postponed', p_event, jsonb_build_object('number', number, 'reason', p_reason,
        'give_back_until', p_give_back_until));
end $$;
