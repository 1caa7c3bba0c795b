/* Whether a task of that kind waits or runs. */
create or replace function is_under_way(p_actor text, p_key text) returns boolean
language sql stable as $$
    select exists (select from outbox where actor = p_actor and key = p_key)
$$;
