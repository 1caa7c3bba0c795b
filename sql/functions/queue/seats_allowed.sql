/* Returns how many more seats of an event a buyer may have. */
create or replace function seats_allowed(p_show events, p_buyer bigint) returns integer
language sql stable as $$
    select p_show.seats_per_buyer - coalesce((
        select seats from buyer_seats where event_id = p_show.id and buyer_id = p_buyer), 0)
$$;
