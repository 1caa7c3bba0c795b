/* Returns the effective deadline of a hold: its own plus the credit, the time of outages up to half an
   hour. */
create or replace function hold_deadline(b bookings) returns timestamptz language sql stable as $$
    select b.deadline + least(interval '30 min', outage_overlap(b.gateway_account_id, b.created_at))
$$;
