/* Adds a durable task; with a key, at most one of its kind. One that exists is told to run again,
   so that a notification that arrives while the task is ending still wakes somebody. */
create or replace function enqueue(
    p_actor text, p_queue text, p_key text, p_args jsonb, p_event bigint default null,
    p_run_at timestamptz default clock_timestamp(), p_priority integer default 50,
    p_trace text default null)
returns void language sql as $$
    insert into outbox (actor, queue, key, args, event_id, priority, run_at, resend_at, trace)
    values (p_actor, p_queue, p_key, p_args, p_event, p_priority, p_run_at, p_run_at, p_trace)
    on conflict (actor, key) where key is not null do update
    set again = true,
        run_at = least(outbox.run_at, excluded.run_at),
        resend_at = least(outbox.resend_at, excluded.resend_at);
$$;
