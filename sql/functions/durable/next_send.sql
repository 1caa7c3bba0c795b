/* When a task whose message is sent now is to be sent again, unless it is done by then: after 15 s, then ever
   later, at most 5 min. p_sends: how often it was sent before. The pause of a task whose worker may have died
   (p_claims > 0) is random, so that such tasks are not sent together again. */
create or replace function next_send(p_sends integer, p_claims integer, p_pace double precision)
returns timestamptz language sql volatile as $$
    select clock_timestamp()
        + p_pace * least(interval '5 min', interval '15 s' * 2 ^ least(p_sends, 5))
            * case when p_claims > 0 then 0.5 + random() / 2 else 1 end
$$;
