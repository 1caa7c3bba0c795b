/* Returns the tax in what is left of a booking's money, for reports: see money_back_of. */
create or replace function tax_left(p_event bigint, p_booking uuid) returns bigint
language sql stable security definer set search_path = public, pg_temp as $$
    select (booking_balance(p_event, p_booking) ->> 'tax')::bigint
$$;
