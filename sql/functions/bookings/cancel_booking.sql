/* Cancels a buyer's booking. If it is held, its seats are released. If it is being paid or in review, it
   becomes 'expiring', and the saga asks the gateway. Returns the state that it was in; null: it is not the
   buyer's. */
create or replace function cancel_booking(p_event bigint, p_booking uuid, p_buyer bigint)
returns text language plpgsql as $$
declare
    found_in text;
    paid constant uuid[] := array(select id from bookings where event_id = p_event and id = p_booking
        and buyer_id = p_buyer and state in ('authorising', 'review'));
begin
    perform wake_sagas(p_event, paid);
    select b.state into found_in from bookings b
    where b.event_id = p_event and b.id = p_booking and b.buyer_id = p_buyer
    for update;
    if found_in = 'held' then
        perform release_seats(p_event, array[p_booking]);
        perform note_unpaid(p_event, array[p_buyer]);
        update bookings set state = 'cancelled', ended_at = clock_timestamp(), reason = 'buyer'
        where event_id = p_event and id = p_booking and state = 'held';
    elsif found_in in ('authorising', 'review') then
        perform check_woken(p_booking = any (paid));
        update bookings set state = 'expiring', reason = 'buyer'
        where event_id = p_event and id = p_booking and state in ('authorising', 'review');
    end if;
    return found_in;
end $$;
