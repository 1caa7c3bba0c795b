/* Adds durable tasks with keys in the one order that cannot deadlock: first it locks the tasks that exist,
   by id, then it adds those that are missing, by key. Like each `enqueue` with a key it comes before every
   other lock of its transaction, because a worker locks its task before anything else. The arrays belong
   together. */
create or replace function enqueue_all(
    p_queue text, p_actors text[], p_keys text[], p_args jsonb[], p_events bigint[],
    p_priority integer default 50)
returns void language plpgsql set enable_seqscan = off as $$
begin
    perform from outbox
    where (actor, key) in (select w.actor, w.key from unnest(p_actors, p_keys) w(actor, key))
    order by id for update;
    perform enqueue(w.actor, p_queue, w.key, w.args, w.event, p_priority => p_priority)
    from (select * from unnest(p_actors, p_keys, p_args, p_events) u(actor, key, args, event)
          order by actor, key) w;
end $$;
