/* Returns the price of a booking: a line for each seat, and one (seat null) for the booking's own fee. Price
   and fee contain the tax. */
create or replace function booking_lines(p_event bigint, p_booking uuid)
returns table (seat integer, category smallint, price bigint, fee bigint, tax_rate numeric, tax bigint)
language sql stable as $$
    select seat, category, price, fee, tax_rate, tax from booking_items
    where event_id = p_event and booking_id = p_booking
    union all
    select null, null, 0, fee, fee_tax_rate, fee_tax from bookings
    where event_id = p_event and id = p_booking and fee > 0
$$;
