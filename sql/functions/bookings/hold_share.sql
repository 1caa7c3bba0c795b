/* Returns which part of the usual time a buyer's next hold has: all of it, then half, a quarter, an eighth. */
create or replace function hold_share(p_organisation bigint, p_unpaid integer) returns double precision
language sql stable as $$
    select power(0.5, least(3, greatest(0, p_unpaid - o.holds_free + 1)))
    from organisations o where o.id = p_organisation
$$;
