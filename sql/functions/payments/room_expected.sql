/* Returns in how many seconds an attempt that is put off (decline_room: 'wait') should be looked at again. Those
   on their way make room when the gateway answers them, within a second as a rule: so it is half of what the
   attempt has waited so far, 0.3 s at least and 10 s at most. In an outage none of them is answered before
   the next probe, and tasks that were refused meanwhile return within 10 s of it: this one comes after
   them. */
create or replace function room_expected(p_event bigint, p_payment uuid) returns double precision
language sql volatile as $$
    select case
        when o.opened_at is null
            then least(10, greatest(0.3, extract(epoch from clock_timestamp() - p.created_at) / 2))
        else 10 * (1 + random()) + case c.state when 'open'
            then greatest(0, extract(epoch from c.retry_at - clock_timestamp())) else 0 end
        end
    from payments p
    left join outages o on o.gateway_account_id = p.gateway_account_id and o.closed_at is null
    left join gateway_accounts a on o.opened_at is not null and a.id = p.gateway_account_id
    left join gateway_circuits c on c.gateway_account_id = a.real_account_id
    where p.event_id = p_event and p.id = p_payment
$$;
