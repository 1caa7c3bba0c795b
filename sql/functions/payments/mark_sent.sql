/* Records, before the gateway is called, that attempts are sent: their outcomes may be unknown from now on. */
create or replace function mark_sent(p_events bigint[], p_payments uuid[]) returns void language sql as $$
    update payments
    set first_sent_at = coalesce(first_sent_at, clock_timestamp()), updated_at = clock_timestamp()
    where id = any (p_payments) and array_position(p_events, event_id) is not null
        and state in ('intended', 'unknown')
$$;
