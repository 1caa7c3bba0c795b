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

/* Declined: the buyer may pay again until the deadline, with a new attempt. */
create or replace function reopen_booking(p_event bigint, p_booking uuid, p_payment uuid)
returns boolean language plpgsql as $$
begin
    update bookings set state = 'held', payment_id = null
    where event_id = p_event and id = p_booking and payment_id = p_payment and state = 'authorising';
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
        case p_reason when 'event_cancelled' then p_reason else p_state end);
    return true;
end $$;

/* Waits for a turn at an endpoint of the gateway: returns the seconds until it, and takes it; or, where
   it is further away than p_patience, returns null and takes none. */
create or replace function take_turn(
    p_account bigint, p_endpoint text, p_per_second double precision, p_patience double precision)
returns double precision language plpgsql as $$
declare
    turn timestamptz;
begin
    if p_endpoint = 'refund' and exists (
            select from gateway_turns where gateway_account_id = p_account and endpoint <> 'refund'
                and next_at > clock_timestamp() + interval '0.5 s') then
        return null;
    end if;
    insert into gateway_turns as t (gateway_account_id, endpoint, next_at)
    values (p_account, p_endpoint, clock_timestamp() + make_interval(secs => 1 / p_per_second))
    on conflict (gateway_account_id, endpoint) do update
        set next_at = greatest(t.next_at, clock_timestamp()) + make_interval(secs => 1 / p_per_second)
        where t.next_at < clock_timestamp() + make_interval(secs => p_patience)
    returning next_at - make_interval(secs => 1 / p_per_second) into turn;
    -- greatest() alone would make "now" of a turn that was not given.
    return case when turn is not null then greatest(0, extract(epoch from turn - clock_timestamp())) end;
end $$;
