/* Confirms one booking: see confirm_bookings. False: see secure_booking. */
create or replace function confirm_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language sql as $$
    select coalesce(p_booking = any (confirm_bookings(p_event, array[p_booking], array[p_payment])), false)
$$;
