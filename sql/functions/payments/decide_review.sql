/* Approves or rejects a payment in review for an organiser. p_scope: the caller's organisation; null: all
   organisations. p_payment: the attempt that the organiser saw; null: any. outcome: 'done', or why not:
   'no_booking', 'not_in_review', 'other_payment'. */
create or replace function decide_review(
    p_event bigint, p_scope bigint, p_booking uuid, p_payment uuid, p_decision text, p_reason text,
    out outcome text, out booking_state text)
language plpgsql as $$
declare
    b bookings;
begin
    perform wake_sagas(p_event, array(select id from bookings where event_id = p_event and id = p_booking
        and state = 'review' and (p_scope is null or organisation_id = p_scope)));
    select * into b from bookings
    where event_id = p_event and id = p_booking and (p_scope is null or organisation_id = p_scope)
    for update;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state <> 'review' then 'not_in_review'
        when p_payment <> b.payment_id then 'other_payment'
        else 'done' end;
    if outcome = 'done' then
        perform check_woken(is_under_way('advance', p_booking::text));
        perform end_review(b, p_decision, p_reason, 'review_rejected');
    end if;
    select state into booking_state from bookings where event_id = p_event and id = b.id;
end $$;
