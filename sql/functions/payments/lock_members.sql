/* Locks the bookings of a group that are still in this state with this attempt, in the order of their keys.
   p_outcomes: objects with event_id, booking_id and payment_id. Returns those of them. */
create or replace function lock_members(p_outcomes jsonb, p_state text) returns jsonb
language sql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
    select jsonb_agg(locked.outcome) from (
        select o as outcome
        from jsonb_array_elements(p_outcomes) o
        join bookings b on b.event_id = (o ->> 'event_id')::bigint and b.id = (o ->> 'booking_id')::uuid
        where b.state = p_state and b.payment_id = (o ->> 'payment_id')::uuid
        order by b.event_id, b.id for update of b) locked
$$;
