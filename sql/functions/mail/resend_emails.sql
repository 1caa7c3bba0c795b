/* Sends the mails of a booking again that were refused, and that with its tickets if there are any. A mail that
   still waits to be sent is left as it is. Open dead letters of the refused ones are retried by that. Returns
   how many go again. */
create or replace function resend_emails(p_event bigint, p_booking uuid) returns integer
language plpgsql set enable_seqscan = off as $$
declare
    retried constant uuid[] := retry_refused(p_event, p_booking);
    others uuid[];
begin
    others := array(
        select m.id from emails m join bookings b on b.event_id = m.event_id and b.id = m.booking_id
        where m.event_id = p_event and m.booking_id = p_booking and (m.state = 'failed'
            or m.state = 'sent' and m.template = 'confirmed' and booking_is_sold(b.state))
        order by m.id for update of m);
    update emails
    set state = 'pending', sent_at = null, last_error = null, admitted_at = null, resends = resends + 1
    where id = any (retried || others);
    perform enqueue('send_email', 'mail', null, jsonb_build_object('email_id', id), p_event)
    from unnest(others) id;
    perform audit('mail sent again', p_event, jsonb_build_object(
        'booking', p_booking, 'emails', to_jsonb(retried || others)));
    return cardinality(retried || others);
end $$;

/* Retries the open dead letters of a booking's mails. Returns the mails. */
create or replace function retry_refused(p_event bigint, p_booking uuid) returns uuid[]
language plpgsql set enable_seqscan = off as $$
declare
    letter record;
    retried uuid[] := '{}';
begin
    for letter in
        select l.id, (l.args ->> 'email_id')::uuid as email from dead_letters l
        where l.booking_id = p_booking and l.event_id = p_event and l.actor = 'send_email'
            and l.resolved_at is null
        order by l.id
    loop
        perform retry_dead_letter(letter.id);
        retried := retried || letter.email;
    end loop;
    return retried;
end $$;
