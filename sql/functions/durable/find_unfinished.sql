/* Says why a dead letter may not be discarded: money would be forgotten with it. Null: it may. */
create or replace function find_unfinished(l dead_letters) returns text
language plpgsql stable set enable_seqscan = off as $$
declare
    why text;
begin
    select case when r.state = 'pending'
        then format('refund %s is still pending: retry it instead', r.id)
        else format('refund %s failed and is owed: try it again, or say how it was paid otherwise'
            ' (.../refunds/%s/retry, .../settlement)', r.id, r.id) end
    into why
    from refunds r
    where l.args ? 'refund_id' and r.id = (l.args ->> 'refund_id')::uuid
        and (r.state = 'pending'
             or r.state = 'failed' and r.retried_by is null and r.settled_at is null);
    if why is null and l.queue <> 'mail' then
        select format('booking %s is %s, and its payment %s %s: a retry brings it to its end', b.id,
            b.state, p.id, p.state)
        into why
        from bookings b
        left join payments p on p.event_id = b.event_id and p.booking_id = b.id
        where b.event_id = l.event_id and b.id = l.booking_id
            and (booking_is_under_way(b.state) or payment_is_open(p.state)
                 or not booking_is_sold(b.state)
                    and p.captured > p.refunded + p.kept + coalesce((
                        select sum(d.amount) from disputes d
                        where d.payment_id = p.id and d.state = 'lost'), 0))
        order by p.created_at desc limit 1;
    end if;
    if why is null and l.actor = 'cancel_event' then
        select 'the event''s cancellation has not ended: retry it' into why
        from event_cancellations c where c.event_id = l.event_id and c.finished_at is null;
    end if;
    if why is null and l.actor = 'look_at_dispute' and not exists (
            select from disputes d where d.gateway_ref = l.args ->> 'dispute_id') then
        why := format('dispute %s was never read: retry it', l.args ->> 'dispute_id');
    end if;
    return why;
end $$;
