/* Returns why an account's personal data cannot be erased now: a booking, a payment or a place in a queue is under
   way, money is owed, a dispute may need an answer, a ticket is for an event that is not over, or the person works
   in an organisation, whose owners end that. */
create or replace function erasure_blocks(p_account bigint) returns text[]
language sql stable set enable_seqscan = off as $$
    select array_remove(array[
        case when exists (select from memberships where account_id = p_account and ended_at is null)
            then 'member' end,
        case when exists (select from bookings b where b.buyer_id = p_account
            and (b.state = 'held' or booking_is_under_way(b.state))) then 'booking_under_way' end,
        case when exists (select from events e join entries n on n.event_id = e.id and n.buyer_id = p_account
            and entry_is_active(n.state) where e.state = 'on_sale') then 'waiting_in_a_queue' end,
        case when exists (select from bookings b
            join payments p on p.event_id = b.event_id and p.booking_id = b.id
            where b.buyer_id = p_account and payment_is_open(p.state)) then 'payment_under_way' end,
        case when exists (select from bookings b
            join refunds r on r.event_id = b.event_id and r.booking_id = b.id
            where b.buyer_id = p_account and (r.state = 'pending' or r.state = 'failed'
                and r.retried_by is null and r.settled_at is null))
            or exists (select from bookings b
            join transfers t on t.event_id = b.event_id and t.booking_id = b.id
            where b.buyer_id = p_account and t.surplus > 0 and t.decision is null) then 'money_owed' end,
        case when exists (select from bookings b
            where b.buyer_id = p_account and b.payment_id is not null
                and has_open_dispute(b.event_id, b.payment_id)) then 'dispute_open' end,
        case when exists (select from bookings b
            join events e on e.id = b.event_id
            join tickets t on t.event_id = b.event_id and t.booking_id = b.id and t.state = 'valid'
            where b.buyer_id = p_account and e.state <> 'cancelled'
                and e.starts_at > clock_timestamp() - interval '1 day') then 'ticket_valid' end
    ], null)
$$;
