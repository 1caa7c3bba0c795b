/* Secures the booking of an authorised payment, or begins a review of it. The seats of a booking in review
   cannot expire either. The review ends a day before the authorisation lapses, or when the event begins.
   Returns the booking's state now; null: another transaction was first, and nothing was changed. */
create or replace function secure_or_review(p_event bigint, p_booking uuid, p_payment uuid)
returns text language plpgsql set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    reasons constant jsonb := (select r.reasons from reasons_for_review(array[p_event], array[p_payment]) r);
    time_to_capture constant interval := '1 day';
begin
    perform from bookings
    where event_id = p_event and id = p_booking and state = 'expiring' and reason <> 'deadline' for update;
    if found then
        return null;  -- given up while the gateway was asked: the saga voids the authorisation
    end if;
    if reasons is null then
        return case when secure_booking(p_event, p_booking, p_payment) then 'secured' end;
    end if;
    update bookings b
    set state = 'review', reason = null, review_reasons = reasons, review_until = least(
        clock_timestamp() + make_interval(secs => o.review_seconds),
        lapses_at(p) - time_to_capture,
        e.starts_at)
    from payments p, organisations o, events e
    where b.event_id = p_event and b.id = p_booking and b.payment_id = p_payment
        and b.state in ('authorising', 'expiring')
        and p.id = p_payment and o.id = b.organisation_id and e.id = p_event;
    if not found then
        return null;
    end if;
    perform notify_buyers(p_event, array[p_booking], 'in_review');
    return 'review';
end $$;
