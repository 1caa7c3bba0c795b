/* Returns how many holds of a buyer ended unpaid in the hour before the last one. */
create or replace function recent_unpaid(p_counter buyer_seats) returns integer language sql stable as $$
    select case when p_counter.unpaid_holds > 0 and p_counter.unpaid_at > clock_timestamp() - interval '1 hour'
        then p_counter.unpaid_holds::integer else 0 end
$$;
