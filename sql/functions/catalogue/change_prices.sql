/* Changes prices of an event that was opened. Holds that are made keep theirs (booking_items). The caller has
   locked the sale alone: a hold's total and its items are written by two statements, and both have to see
   the same prices. Categories that no seat has any more keep theirs, since bookings may be of them. */
create or replace function change_prices(
    p_event bigint, p_categories integer[], p_prices bigint[], p_fees bigint[], p_tax_rates numeric[])
returns void language plpgsql as $$
declare
    changes jsonb;
begin
    with given as (
        select n.*, jsonb_build_object('price', o.price, 'fee', o.fee, 'tax_rate', o.tax_rate) as before
        from unnest(p_categories, p_prices, p_fees, p_tax_rates) n(category, price, fee, tax_rate)
        join event_categories o on o.event_id = p_event and o.category = n.category
        where (o.price, o.fee, o.tax_rate) is distinct from (n.price, n.fee, n.tax_rate)
    ), changed as (
        update event_categories c set price = g.price, fee = g.fee, tax_rate = g.tax_rate
        from given g where c.event_id = p_event and c.category = g.category
        returning jsonb_build_object('category', c.category, 'from', g.before, 'to', jsonb_build_object(
            'price', c.price, 'fee', c.fee, 'tax_rate', c.tax_rate)) as change
    )
    select jsonb_agg(change order by change -> 'category') into changes from changed;
    if changes is not null then
        perform audit('prices changed', p_event, jsonb_build_object('categories', changes));
    end if;
end $$;
