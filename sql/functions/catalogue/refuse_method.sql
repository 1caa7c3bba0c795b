/* Tells why a booking of an event cannot be paid with a method. Null: it can. 'no_such_method': the event
   does not take it, or it cannot charge the event's currency; 'method_too_slow': the event begins before the
   money would be sure; 'amount_not_possible': the amount is outside the method's limits. */
create or replace function refuse_method(p_show events, p_method text, p_amount bigint) returns text
language sql stable as $$
    select case
        when p_method = 'offline' then case when p_show.offline_account_id is null then 'no_such_method' end
        when p_method <> all (p_show.payment_methods) or not exists (
            select from chargeable(array[p_method], p_show.currency)) then 'no_such_method'
        else (
            select case
                when settles_in > interval '0' and clock_timestamp() + settles_in > p_show.starts_at
                    then 'method_too_slow'
                when p_amount not between minimum_charge and maximum_charge then 'amount_not_possible' end
            from chargeable(array[p_method], p_show.currency)) end
$$;
