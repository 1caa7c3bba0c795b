/* A task's history with one entry more: {at, kind, error, claims, worker}. kind: 'failed'; 'died', when a
   worker was never heard of again; 'later', which is no failure. Waiting once more for the same thing
   counts in the last entry ({times, last_at}) instead. Of more than 100 the first ten stay, and the
   latest: how it began, and how it stands. */
create or replace function add_attempt(
    p_history jsonb, p_kind text, p_error text, p_claims integer, p_worker text)
returns jsonb language plpgsql volatile as $$
declare
    final constant jsonb := p_history -> -1;
begin
    if p_kind = 'later' and final ->> 'kind' = 'later' and final ->> 'error' = p_error then
        return (p_history - -1) || (final || jsonb_build_object('last_at', clock_timestamp(),
            'times', coalesce((final ->> 'times')::integer, 1) + 1));
    end if;
    return case when jsonb_array_length(p_history) < 100 then p_history else p_history - 10 end
        || jsonb_build_object('at', clock_timestamp(), 'kind', p_kind, 'error', left(p_error, 2000),
            'claims', p_claims, 'worker', p_worker);
end $$;
