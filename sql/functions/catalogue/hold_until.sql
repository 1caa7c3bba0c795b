/* Returns the deadline of a hold that begins now. It is not later than the beginning of the event, but even
   then a buyer has ten minutes to pay, or hold_seconds if that is less. */
create or replace function hold_until(p_show events, p_moment timestamptz) returns timestamptz
language sql immutable parallel safe as $$
    select least(p_moment + make_interval(secs => p_show.hold_seconds),
        greatest(p_show.starts_at, p_moment + interval '10 min'))
$$;
