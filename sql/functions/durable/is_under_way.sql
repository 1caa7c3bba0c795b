/* Tells whether an actor has a task with this key that is not done. */
create or replace function is_under_way(p_actor text, p_key text) returns boolean
language sql stable as $$
    select exists (select from outbox where actor = p_actor and key = p_key)
$$;
