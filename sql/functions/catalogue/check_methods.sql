/* Finds the first of an event's payment methods with which no booking of it could be paid. reason: null,
   when there is none; 'method_not_in_currency': it cannot charge the event's currency; 'method_too_slow':
   even at the beginning of the sale its money would be sure only after the event has begun;
   'method_limits': the cheapest booking is above its limit. */
create or replace function check_methods(p_event bigint, out reason text, out path text, out method text)
language sql stable as $$
    select w.reason, 'payment_methods', w.method
    from (
        select given.method, given.place, case
            when m.method is null then 'method_not_in_currency'
            when m.settles_in > interval '0' and e.on_sale_at + m.settles_in > e.starts_at
                then 'method_too_slow'
            when m.maximum_charge < (
                select min(price + fee) from event_categories
                where event_id = e.id and price + fee > 0) + e.booking_fee then 'method_limits' end as reason
        from events e
        cross join unnest(e.payment_methods) with ordinality given(method, place)
        left join chargeable(e.payment_methods, e.currency) m on m.method = given.method
        where e.id = p_event) w
    where w.reason is not null
    order by w.place limit 1
$$;
