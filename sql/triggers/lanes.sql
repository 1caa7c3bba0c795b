create or replace trigger lanes_audit
    after update of paused, weight, in_flight_cap, admission_rate on lanes
    for each row execute function audit_changes('lane changed', 'event_id', 'paused', 'weight',
        'in_flight_cap', 'admission_rate');

/* There may be room now, or less; and a lane that was paused has no claim on what it missed (next_lane).
   A wake, since an organiser waits for no drain, which has the lane's state for as long as a batch takes. */
create or replace function wake_changed_lane() returns trigger language plpgsql as $$
begin
    insert into lane_wakes (event_id, kind) values (new.event_id, 'changed');
    return null;
end $$;

create or replace trigger lanes_wake_changed after update on lanes
    for each row when (old.* is distinct from new.*) execute function wake_changed_lane();
