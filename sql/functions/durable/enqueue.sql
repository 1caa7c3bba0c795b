/* Adds a durable task and returns its id. With a key, an actor has at most one such task: one that exists
   is marked to run again, so that a notification that arrives while the task is ending still wakes it.
   While a worker has it, no other message is sent: when it is handed back, or its lease has run out.
   p_priority: 20 is urgent, 50 is usual, 80 can wait. p_trace: the trace, if it is not that of this
   transaction's request or task. */
create or replace function enqueue(
    p_actor text, p_queue text, p_key text, p_args jsonb, p_event bigint default null,
    p_run_at timestamptz default clock_timestamp(), p_priority integer default 50,
    p_trace text default null)
returns bigint language sql as $$
    insert into outbox (actor, queue, key, args, event_id, priority, run_at, resend_at, trace)
    values (p_actor, p_queue, p_key, p_args, p_event, p_priority, p_run_at, p_run_at,
        coalesce(p_trace, nullif(current_setting('usher.trace', true), '')))
    on conflict (actor, key) where key is not null do update
    set again = true, put_off = false,
        run_at = least(outbox.run_at, excluded.run_at),
        resend_at = case when outbox.lease_until > clock_timestamp() then outbox.resend_at
            else least(outbox.resend_at, excluded.resend_at) end,
        trace = coalesce(excluded.trace, outbox.trace)
    returning id;
$$;
