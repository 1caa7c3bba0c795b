/* Writes the e-mail that tells the buyer of money that came offline, with the task that sends it. A booking has one
   for each template: a later one takes its place and is sent, too. */
create or replace function tell_of_transfer(p_event bigint, p_booking uuid, p_template text, p_context jsonb)
returns void language plpgsql set enable_seqscan = off as $$
declare
    before text;
    mail uuid;
begin
    select id, state into mail, before from emails
    where event_id = p_event and booking_id = p_booking and template = p_template
        and refund_id is null and postponement is null
    for update;
    if mail is null then
        insert into emails (event_id, booking_id, buyer_id, template, context)
        select event_id, id, buyer_id, p_template, p_context from bookings
        where event_id = p_event and id = p_booking
        returning id into mail;
    else
        update emails set context = p_context, state = 'pending', sent_at = null, last_error = null,
            admitted_at = null, resends = resends + case when state = 'pending' then 0 else 1 end
        where id = mail;
    end if;
    if before is distinct from 'pending' then
        perform enqueue('send_email', 'mail', null, jsonb_build_object('email_id', mail), p_event);
    end if;
end $$;
