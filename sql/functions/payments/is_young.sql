create or replace function is_young(p_at timestamptz) returns boolean language sql volatile as $$
    select p_at > clock_timestamp() - interval '2 min'
$$;
