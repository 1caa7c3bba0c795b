/* Records, before the gateway is called, that an attempt is sent: its outcome may be unknown from now on. */
create or replace function mark_sent(p_event bigint, p_payment uuid) returns void language sql as $$
    update payments
    set first_sent_at = coalesce(first_sent_at, clock_timestamp()), updated_at = clock_timestamp()
    where event_id = p_event and id = p_payment and state in ('intended', 'unknown')
$$;
