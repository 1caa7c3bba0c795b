/* Returns what a wish for a category, or for named seats, costs now: tickets with their fees, and the
   booking's. Null: it names neither. */
create or replace function wish_total(
    p_show events, p_quantity integer, p_category integer, p_seats integer[]) returns bigint
language sql stable as $$
    select tickets + case when tickets > 0 then p_show.booking_fee else 0 end
    from (select case when p_seats is null
            then p_quantity * (select price + fee from event_categories
                               where event_id = p_show.id and category = p_category)
            else (select sum(c.price + c.fee)
                  from seats s
                  join event_categories c on c.event_id = s.event_id and c.category = s.category
                  where s.event_id = p_show.id and s.seat = any (p_seats)) end::bigint as tickets) t
$$;
