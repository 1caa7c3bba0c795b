/* Marks attempts as sent that may be sent now, one after the other, so that each counts for the next: see
   admit_attempt. Returns those that were marked; the others have to wait, or are refused. The arrays belong
   together. */
create or replace function send_attempts(p_events bigint[], p_payments uuid[], p_limits jsonb)
returns setof uuid language plpgsql as $$
declare
    attempt record;
begin
    perform follow_each_other(p_events, p_payments);
    for attempt in select * from unnest(p_events, p_payments) u(event_id, id) loop
        if admit_attempt(attempt.event_id, attempt.id, p_limits) = 'go' then
            perform mark_sent(attempt.event_id, attempt.id);
            return next attempt.id;
        end if;
    end loop;
end $$;
