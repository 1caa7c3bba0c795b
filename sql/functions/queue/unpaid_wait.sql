/* Returns for how many seconds a buyer, whose holds of an event ended unpaid too often, has to wait; null: not
   at all. */
create or replace function unpaid_wait(p_show events, p_buyer bigint) returns integer
language sql stable as $$
    select ceil(extract(epoch from c.unpaid_at - clock_timestamp()) + o.holds_wait_seconds)::integer
    from buyer_seats c, organisations o
    where c.event_id = p_show.id and c.buyer_id = p_buyer and o.id = p_show.organisation_id
        and recent_unpaid(c) >= o.holds_most
        and c.unpaid_at > clock_timestamp() - make_interval(secs => o.holds_wait_seconds)
$$;
