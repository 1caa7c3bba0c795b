/* Refunds a booking for an organiser, or for a buyer who gives it back: the given tickets, all of them (p_tickets and p_amount null), or
   p_amount alone. The amount is the price of the tickets, or p_amount, and never more than is refundable
   of the payment of the tickets. An amount alone may come from another payment (an unexpected one) when
   the first has nothing left. p_with_fees: the fees are refunded as well; the booking's own fee with its
   last ticket. p_cause: see refunds.
   p_scope: the caller's organisation; null: all organisations. outcome: 'done', or why not: 'no_booking',
   'disputed', 'not_confirmed', 'no_such_tickets', 'not_a_multiple' (of the currency step), 'too_much'.
   refund_id: null if no money is to be refunded, as for free tickets. available: how much is refundable.
   returned: the tickets that are void now. */
create or replace function request_refund(
    p_event bigint, p_scope bigint, p_booking uuid, p_tickets uuid[], p_amount bigint,
    p_with_fees boolean, p_reason text, p_resell boolean,
    p_cause text default 'asked',
    out outcome text, out refund_id uuid, out booking_state text, out available bigint,
    out returned uuid[])
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    b bookings;
    paid payments;
    places integer[];
    costs bigint[];
    amount bigint;
begin
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    select * into paid from payments p where p.event_id = p_event and p.booking_id = p_booking
    order by (p.id = b.payment_id and (p_amount is null or p.captured > p.refunded)) desc,
        p.captured - p.refunded desc limit 1;
    select array_agg(t.seat order by t.seat), array_agg(t.id order by t.seat),
        array_agg(i.price + case when p_with_fees then i.fee else 0 end order by t.seat),
        sum(i.price + case when p_with_fees then i.fee else 0 end)
            + case when p_with_fees and count(*) = (
                  select count(*) from booking_items k where k.event_id = p_event
                      and k.booking_id = p_booking and k.returned_at is null)
              then b.fee else 0 end
    into places, returned, costs, amount
    from tickets t
    join booking_items i on i.event_id = t.event_id and i.booking_id = t.booking_id
        and i.seat = t.seat
    where t.event_id = p_event and t.booking_id = p_booking and t.state = 'valid'
        and (t.id = any (p_tickets) or p_tickets is null and p_amount is null);
    booking_state := b.state;
    available := coalesce(refundable(p_event, paid.id), 0);
    amount := coalesce(p_amount, least(amount, available));
    outcome := case
        when b.id is null then 'no_booking'
        when b.state = 'frozen' and has_open_dispute(p_event, b.payment_id) then 'disputed'
        when not booking_is_sold(b.state) and (p_amount is null or p_tickets is not null)
            then 'not_confirmed'
        when cardinality(p_tickets) <> coalesce(cardinality(returned), 0) then 'no_such_tickets'
        when amount % (select step from currencies where code = b.currency) <> 0 then 'not_a_multiple'
        when amount > available then 'too_much'
        else 'done' end;
    if outcome <> 'done' then
        return;
    end if;
    if places is not null then
        perform return_seats(p_event, array_fill(p_booking, array[cardinality(places)]), places,
            p_resell, case p_cause when 'asked' then 'refunded' else p_cause end);
        select state into booking_state from bookings where event_id = p_event and id = p_booking;
    end if;
    if amount > 0 then
        refund_id := (write_refunds(p_event, array[paid.id], array[amount], p_cause, p_reason))[1];
        insert into refund_items (event_id, refund_id, booking_id, seat, amount)
        select p_event, request_refund.refund_id, p_booking, place, cost
        from unnest(places, share_out(amount, costs)) r(place, cost);
    end if;
    perform keep_the_rest(p_event, array[paid.id]);
    if p_cause = 'asked' then
        perform audit('refund requested', p_event, jsonb_build_object('booking_id', p_booking, 'refund_id',
            refund_id, 'amount', amount, 'currency', b.currency, 'returned', returned, 'resell', p_resell,
            'booking_state', jsonb_build_object('from', b.state, 'to', booking_state)),
            b.organisation_id, b.buyer_id, jsonb_build_object('reason', p_reason));
    end if;
end $$;
