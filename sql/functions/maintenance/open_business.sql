/* Says why an event cannot be archived yet; null: it can. */
create or replace function open_business(p_event bigint) returns text language sql stable as $$
    select case
        when exists (select from bookings where event_id = p_event and state not in
            ('confirmed', 'expired', 'cancelled', 'failed')) then 'a booking has not ended'
        when exists (select from payments where event_id = p_event and state not in
            ('captured', 'failed', 'voided')) then 'a payment has not ended'
        when exists (select from refunds where event_id = p_event and (state = 'pending'
            or state = 'failed' and retried_by is null and settled_at is null))
            then 'a refund is not paid'
        when exists (select from transfers where event_id = p_event and surplus > 0 and decision is null)
            then 'a transfer has a surplus'
        when exists (select from disputes where event_id = p_event
            and state not in ('won', 'lost', 'warning_closed')) then 'a payment is disputed'
        when exists (select from emails where event_id = p_event and booking_id is not null
            and state = 'pending') then 'an e-mail is not sent'
        when exists (select from receipts_due where event_id = p_event)
            then 'a receipt is not numbered'
        when exists (select from entries where event_id = p_event
            and entry_is_active(state)) then 'an entry is in the queue'
        when exists (select from event_cancellations where event_id = p_event and finished_at is null)
            then 'the event is being cancelled'
        when exists (select from reconciliation_differences
            where event_id = p_event and resolved_at is null) then 'a difference is open'
        when exists (select from outbox where actor <> 'archive_event' and (event_id = p_event
            or (args ->> 'event_id')::bigint = p_event)) then 'a task has to do with it'
        when exists (select from dead_letters where event_id = p_event and resolved_at is null)
            then 'a dead letter has to do with it'
        end
$$;
