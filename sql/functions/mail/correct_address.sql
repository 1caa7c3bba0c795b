/* Sends the mails of a booking to another address from now on; the buyer's own ends the correction.
   False: there is no such booking. */
create or replace function correct_address(p_event bigint, p_booking uuid, p_email text) returns boolean
language plpgsql as $$
declare
    own constant text := (
        select u.email from bookings b join buyers u on u.id = b.buyer_id
        where b.event_id = p_event and b.id = p_booking);
begin
    if own is null then
        return false;
    end if;
    delete from booking_addresses where event_id = p_event and booking_id = p_booking;
    insert into booking_addresses (event_id, booking_id, email)
    select p_event, p_booking, p_email where p_email <> own;
    perform audit('booking address corrected', p_event, jsonb_build_object('booking', p_booking));
    return true;
end $$;
