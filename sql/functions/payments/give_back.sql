/* Gives a buyer's booking back, because its event was postponed: all tickets that are left, with all fees.
   The seats are sold again. outcome: 'done'; 'already': it was given back before; or why not: 'no_booking',
   'not_postponed' (since the booking was made), 'not_confirmed', 'event_cancelled' (it is refunded by that),
   'too_late' (until: it could be given back until then) or 'disputed'. */
create or replace function give_back(
    p_event bigint, p_booking uuid, p_buyer bigint, out outcome text, out until timestamptz)
language plpgsql set enable_seqscan = off as $$
declare
    b bookings;
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and buyer_id = p_buyer for update;
    until := give_back_until(b);
    outcome := case
        when b.id is null then 'no_booking'
        when b.state = 'cancelled' and b.reason = 'given_back' then 'already'
        when until is null then 'not_postponed'
        when not booking_is_sold(b.state) then 'not_confirmed'
        when (select state from events where id = p_event) = 'cancelled' then 'event_cancelled'
        when clock_timestamp() > until then 'too_late' end;
    if outcome is null then
        select r.outcome into outcome
        from request_refund(p_event, null, p_booking, null, null, true,
            'given back by the buyer, since the event was postponed', true, 'given_back') r;
    end if;
end $$;
