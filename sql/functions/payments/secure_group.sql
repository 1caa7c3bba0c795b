/* Records authorised payments of a group and secures their bookings, or begins their reviews. p_outcomes: see
   record_outcomes; with event_id and booking_id. A member whose booking or payment has changed since it was
   read is left as it is, for its own task to look at. Returns the other payments, and the state of their
   bookings now: 'secured' or 'review'. */
create or replace function secure_group(p_outcomes jsonb)
returns table (payment_id uuid, became text) language plpgsql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    members constant jsonb := lock_members(p_outcomes, 'authorising');
    recorded constant uuid[] := array(select record_outcomes(members));
    risky constant uuid[] := array(
        select r.payment_id from reasons_for_review(array(select event_id from payments where id = any (recorded)),
            recorded) r);
begin
    return query
    update bookings b set state = 'secured', reason = null
    from payments p
    where p.id = any (recorded) and p.id <> all (risky)
        and b.event_id = p.event_id and b.id = p.booking_id and b.payment_id = p.id and b.state = 'authorising'
    returning p.id, b.state;
    return query
    select p.id, secure_or_review(p.event_id, p.booking_id, p.id) from payments p where p.id = any (risky);
end $$;
