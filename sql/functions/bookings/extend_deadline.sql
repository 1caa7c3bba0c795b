/* Gives a buyer more time to pay, at most until the event begins. outcome: 'done', or why not: 'no_booking',
   'not_open' (it is paid, has ended, or its payment is being stopped), 'not_later', 'after_start'. A hold whose time
   is over may be extended until the clock has ended it. */
create or replace function extend_deadline(
    p_event bigint, p_booking uuid, p_deadline timestamptz, out outcome text, out deadline timestamptz)
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_column
declare
    b bookings;
    starts constant timestamptz := (select starts_at from events where id = p_event);
begin
    select * into b from bookings where event_id = p_event and id = p_booking for update;
    deadline := b.deadline;
    outcome := case
        when b.id is null then 'no_booking'
        when b.state not in ('held', 'authorising') then 'not_open'
        when p_deadline <= b.deadline or p_deadline <= clock_timestamp() then 'not_later'
        when p_deadline > starts then 'after_start'
        else 'done'
    end;
    if outcome <> 'done' then
        return;
    end if;
    deadline := p_deadline;
    update bookings set deadline = p_deadline where event_id = p_event and id = p_booking;
    update payments set next_action = jsonb_set(next_action, '{pay_offline,due_at}', to_jsonb(p_deadline))
    where event_id = p_event and booking_id = p_booking and method = 'offline' and state = 'requires_action'
        and next_action ? 'pay_offline';
    perform audit('deadline extended', p_event, jsonb_build_object('booking_id', p_booking, 'deadline',
        jsonb_build_object('from', b.deadline, 'to', p_deadline)), null, b.buyer_id);
end $$;
