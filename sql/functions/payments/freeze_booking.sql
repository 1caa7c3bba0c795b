/* Freezes a confirmed booking that the caller has locked. */
create or replace function freeze_booking(p_event bigint, p_booking uuid) returns void
language plpgsql as $$
begin
    update bookings set state = 'frozen'
    where event_id = p_event and id = p_booking and state = 'confirmed';
    if found then
        perform notify_buyers(p_event, array[p_booking], 'frozen');
    end if;
end $$;
