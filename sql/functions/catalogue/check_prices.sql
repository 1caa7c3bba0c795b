/* Finds the first error in an event's prices. reason: null, when there is none; 'not_a_multiple' (of the
   currency step); and, where the event has payment methods, 'too_little' (the cheapest booking that is not
   free) or 'too_much' (the most expensive booking of one buyer) for all of them. amount: the wrong amount;
   bound: the limit that it breaks. */
create or replace function check_prices(
    p_event bigint, out reason text, out path text, out amount bigint, out bound bigint)
language sql stable as $$
    with terms as (
        select e.booking_fee, e.seats_per_buyer, c.step, m.minimum_charge, m.maximum_charge, p.*
        from events e
        join currencies c on c.code = e.currency
        cross join lateral (
            select min(minimum_charge) as minimum_charge, max(maximum_charge) as maximum_charge
            from chargeable(e.payment_methods, e.currency)) m
        cross join lateral (
            select min(price + fee) filter (where price + fee > 0) as cheapest,
                max(price + fee) as dearest,
                min(case when price % c.step <> 0 then price else fee end)
                    filter (where price % c.step <> 0 or fee % c.step <> 0) as odd
            from event_categories where event_id = e.id) p
        where e.id = p_event
    )
    select w.reason, w.path, w.amount, w.bound
    from terms t cross join lateral (values
        ('not_a_multiple', 'categories', t.odd, t.step::bigint, t.odd is not null),
        ('not_a_multiple', 'booking_fee', t.booking_fee, t.step, t.booking_fee % t.step <> 0),
        ('too_little', 'categories', t.cheapest + t.booking_fee, t.minimum_charge,
            t.cheapest + t.booking_fee < t.minimum_charge),
        ('too_much', 'seats_per_buyer', t.seats_per_buyer * t.dearest + t.booking_fee, t.maximum_charge,
            t.dearest > 0 and t.seats_per_buyer * t.dearest + t.booking_fee > t.maximum_charge)
    ) w(reason, path, amount, bound, wrong)
    where wrong limit 1
$$;
