/* When the authorisation of a payment lapses: as the gateway says, else after the week that cards have. */
create or replace function lapses_at(p payments) returns timestamptz language sql immutable as $$
    select coalesce(p.capture_before, p.first_sent_at + interval '7 days')
$$;
