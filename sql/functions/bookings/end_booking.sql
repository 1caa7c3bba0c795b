/* Ends a booking that cannot be paid any more: releases its seats and tells the buyer. False: see
   secure_booking. */
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
    if p_reason in ('deadline', 'buyer') then
        perform note_unpaid(p_event, array(
            select buyer_id from bookings where event_id = p_event and id = p_booking));
    end if;
    update bookings set state = p_state, ended_at = clock_timestamp(), reason = p_reason
    where event_id = p_event and id = p_booking and state = any (p_from);
    perform notify_buyers(p_event, array[p_booking],
        case when p_reason = 'event_cancelled' then p_reason when p_reason like 'review_%' then 'not_approved'
            else p_state end);
    return true;
end $$;
