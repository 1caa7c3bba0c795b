/* Divides an amount in proportion to weights, into whole units. The shares sum up to the amount, or to the
   sum of the weights if that is less. No share is more than its weight. */
create or replace function share_out(p_amount bigint, p_weights bigint[]) returns bigint[]
language sql immutable parallel safe as $$
    select array_agg((round(least(p_amount, whole) * upto / greatest(whole, 1))
        - round(least(p_amount, whole) * (upto - weight) / greatest(whole, 1)))::bigint order by place)
    from (select place, weight, sum(weight) over (order by place) as upto, sum(weight) over () as whole
          from unnest(p_weights) with ordinality w(weight, place)) w
$$;
