/* A change so fresh that the gateway's list may not have it yet, or the task that follows be on its way. */
create or replace function is_young(p_at timestamptz) returns boolean language sql volatile as $$
    select p_at > clock_timestamp() - interval '2 min'
$$;
