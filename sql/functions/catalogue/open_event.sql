/* Fills an event from its plan version: seats, lane, and the sequence of its queue's numbers. Prices are
   set separately. Returns how many seats there are. */
create or replace function open_event(p_event bigint) returns integer language plpgsql as $$
declare
    seat_count integer;
begin
    insert into seats (event_id, seat, category, centre, accessible, kept)
    select e.id, p.seat, p.category, p.centre, p.accessible, p.accessible or p.companion
    from events e join plan_seats p on p.plan_version_id = e.plan_version_id
    where e.id = p_event order by p.seat;
    get diagnostics seat_count = row_count;
    insert into lanes (event_id) values (p_event);
    insert into lane_state (event_id) values (p_event);
    perform make_entry_numbers(p_event);
    return seat_count;
end $$;
