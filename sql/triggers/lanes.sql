create or replace trigger lanes_audit
    after update of paused, weight, in_flight_cap, admission_rate on lanes
    for each row execute function audit_changes('lane changed', 'event_id', 'paused', 'weight',
        'in_flight_cap', 'admission_rate');

/* Wakes a lane that its organiser has changed: there may be more room now, or less, and its virtual time
   starts anew (next_lane). A wake needs no lock on lane_state, which the drain has for a whole batch. */
create or replace function wake_changed_lane() returns trigger language plpgsql as $$
begin
    insert into lane_wakes (event_id, kind) values (new.event_id, 'changed');
    return null;
end $$;

create or replace trigger lanes_wake_changed after update on lanes
    for each row when (old.* is distinct from new.*) execute function wake_changed_lane();
