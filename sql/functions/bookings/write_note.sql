/* Writes a note about a booking; returns its id. Null: there is no such booking. */
create or replace function write_note(p_event bigint, p_booking uuid, p_note text) returns uuid
language plpgsql as $$
declare
    buyer constant bigint := (select buyer_id from bookings where event_id = p_event and id = p_booking);
    written uuid;
begin
    if buyer is null then
        return null;
    end if;
    insert into booking_notes (event_id, booking_id, note, written_by)
    values (p_event, p_booking, p_note, acting())
    returning id into written;
    perform audit('booking note written', p_event, jsonb_build_object('booking_id', p_booking, 'note_id', written),
        null, buyer);
    return written;
end $$;
