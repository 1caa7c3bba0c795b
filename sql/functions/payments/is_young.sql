/* Tells whether a change is so recent that the gateway's lists may not have it yet, or that its task may
   not have run. */
create or replace function is_young(p_at timestamptz) returns boolean language sql volatile as $$
    select p_at > clock_timestamp() - interval '2 min'
$$;
