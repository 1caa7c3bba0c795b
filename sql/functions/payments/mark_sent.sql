/* Records, before the gateway is called, that attempts are sent: their outcome may be unknown from now on. */
create or replace function mark_sent(p_payments uuid[]) returns void language sql as $$
    update payments
    set first_sent_at = coalesce(first_sent_at, clock_timestamp()), updated_at = clock_timestamp()
    where id = any (p_payments) and state in ('intended', 'unknown')
$$;
