/* Returns when the authorisation of a payment lapses: the gateway's time, else a week, as for cards. */
create or replace function lapses_at(p payments) returns timestamptz language sql stable as $$
    select coalesce(p.capture_before, p.first_sent_at + interval '7 days')
$$;
