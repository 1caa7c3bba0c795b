create or replace trigger lanes_audit
    after update of paused, weight, in_flight_cap, admission_rate on lanes
    for each row execute function audit_changes('lane changed', 'event_id', 'paused', 'weight',
        'in_flight_cap', 'admission_rate');

/* Makes a paused lane not busy. It gets no compensation for the pause, and does not hold back the virtual
   time of the other lanes. */
create or replace function rest_paused_lane() returns trigger language plpgsql as $$
begin
    new.busy := false;
    return new;
end $$;

create or replace trigger lanes_rest_while_paused before update of paused on lanes
    for each row when (new.paused) execute function rest_paused_lane();
