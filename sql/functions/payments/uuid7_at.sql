/* Returns the lowest id that uuid7() could have made at a time. */
create or replace function uuid7_at(p_at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex(floor(extract(epoch from p_at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
