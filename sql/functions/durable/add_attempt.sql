/* Adds one entry to a task's history: {at, kind, error, claims, worker}. kind: 'failed'; 'died', when the
   worker never ended its lease; 'later', when the task has to wait, which is no failure. Waiting again for
   the same reason adds no entry: the last one counts it ({times, last_at}). Of more than 100 entries the
   first ten and the latest are kept. */
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
