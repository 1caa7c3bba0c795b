/* Tells whether an attempt counts as declined: it was sent and ended without an authorisation. So does one whose
   buyer did not come back from the bank's page, when it is voided, or after 5 minutes: who tries a card's number
   has learnt enough when the bank shows its page. What turned out never to have reached the gateway does not
   count. */
create or replace function counts_as_decline(p_attempt payments) returns boolean language sql stable as $$
    select p_attempt.first_sent_at is not null and p_attempt.authorised_at is null
        and p_attempt.method <> 'offline'
        and case p_attempt.state
            when 'failed' then p_attempt.failure_code is distinct from 'not_sent'
            when 'voided' then true
            when 'requires_action' then p_attempt.updated_at < statement_timestamp() - interval '5 min'
            else false end
$$;
