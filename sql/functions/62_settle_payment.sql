/* The outcomes of the saga's steps. Each is a compare-and-set that names the state it expects and the
   attempt; false means that somebody was first, and nothing was changed. */

/* Seats of a secured booking can no longer expire. */
create or replace function secure_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'secured', reason = null
    where event_id = p_event and id = p_booking and payment_id = p_payment
        and state in ('authorising', 'expiring', 'review');
    return found;
end $$;

/* The saga's last step: the seats are sold, and the tickets issued. */
create or replace function confirm_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql set enable_seqscan = off as $$
begin
    update bookings set state = 'confirmed', confirmed_at = clock_timestamp()
    where event_id = p_event and id = p_booking and payment_id = p_payment and state = 'secured';
    if not found then
        return false;
    end if;
    update seats s set state = 'sold'
    from booking_items i
    where i.event_id = p_event and i.booking_id = p_booking
        and s.event_id = i.event_id and s.seat = i.seat and s.booking_id = p_booking;
    perform issue_tickets(p_event, array[p_booking]);
    return true;
end $$;

/* Secured for a charge at once, which the buyer has to approve first: its seats can expire again. */
create or replace function await_buyer(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'authorising'
    where event_id = p_event and id = p_booking and payment_id = p_payment and state = 'secured';
    return found;
end $$;

/* Declined: the buyer may pay again until the deadline, with a new attempt. One that was secured for a
   charge at once, which may take days, is not opened again after its deadline. */
create or replace function reopen_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'held', payment_id = null
    where event_id = p_event and id = p_booking and payment_id = p_payment
        and (state = 'authorising' or state = 'secured' and clock_timestamp() < deadline
            + least(interval '30 min', outage_overlap(gateway_account_id, created_at)));
    return found;
end $$;

/* Ends a booking that no payment can carry any more: releases its seats and tells the buyer. */
create or replace function end_booking(
    p_event bigint, p_booking uuid, p_from text[], p_state text, p_reason text)
returns boolean language plpgsql set enable_seqscan = off as $$
begin
    perform from bookings where event_id = p_event and id = p_booking and state = any (p_from)
    for update;
    if not found then
        return false;
    end if;
    perform release_seats(p_event, array[p_booking]);
    update bookings set state = p_state, ended_at = clock_timestamp(), reason = p_reason
    where event_id = p_event and id = p_booking and state = any (p_from);
    perform notify_buyers(p_event, array[p_booking],
        case when p_reason = 'event_cancelled' then p_reason when p_reason like 'review_%' then 'not_approved'
            else p_state end);
    return true;
end $$;
