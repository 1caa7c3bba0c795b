/* Gives a booking another name than its buyer's; the buyer's own ends the correction. False: there is no such
   booking, or the buyer's data were erased. */
create or replace function correct_name(p_event bigint, p_booking uuid, p_name text) returns boolean
language plpgsql as $$
declare
    buyer constant buyers := buyer_to_correct(p_event, p_booking);
    before text;
begin
    if buyer.id is null then
        return false;
    end if;
    before := coalesce(booking_name(p_event, p_booking), buyer.name);
    delete from booking_names where event_id = p_event and booking_id = p_booking;
    insert into booking_names (event_id, booking_id, name)
    select p_event, p_booking, p_name where p_name <> buyer.name;
    perform mark_for_index(p_event, array[p_booking]);
    perform audit('booking name corrected', p_event, jsonb_build_object('booking_id', p_booking), null, buyer.id,
        jsonb_build_object('name', jsonb_build_object('from', before, 'to', p_name)));
    return true;
end $$;
