/* Sends the mails of a booking to another address from now on; the buyer's own ends the correction.
   False: there is no such booking, or the buyer's data were erased. */
create or replace function correct_address(p_event bigint, p_booking uuid, p_email text) returns boolean
language plpgsql as $$
declare
    buyer constant buyers := buyer_to_correct(p_event, p_booking);
    before text;
begin
    if buyer.id is null then
        return false;
    end if;
    before := coalesce(booking_address(p_event, p_booking), buyer.email);
    delete from booking_addresses where event_id = p_event and booking_id = p_booking;
    insert into booking_addresses (event_id, booking_id, email)
    select p_event, p_booking, p_email where p_email <> buyer.email;
    perform audit('booking address corrected', p_event, jsonb_build_object('booking', p_booking), null, buyer.id,
        jsonb_build_object('email', jsonb_build_object('from', before, 'to', p_email)));
    return true;
end $$;
