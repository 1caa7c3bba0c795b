-- Invariants: every query here returns no row, at any time, and in any state that a crash can leave behind.
-- Tests, campaigns, the demo and the auditor use this file (db/maintenance/invariants.py). Each query is
-- one statement, so that one database snapshot decides it.
--
-- Live bookings are those that have not ended: all states except expired, cancelled and failed. Tasks of
-- the mail queue only tell buyers; they end no booking.


-- seat_of_no_live_booking --
-- A seat cannot be sold, because it belongs to a booking that has ended, or that does not exist.
select s.event_id, s.seat, s.state as seat_state, s.booking_id, b.state as booking_state
from seats s
left join bookings b on b.event_id = s.event_id and b.id = s.booking_id
where s.booking_id is not null
    and (b.id is null or b.state in ('expired', 'cancelled', 'failed'));

-- seat_not_among_items --
-- A booking has a seat that is not one of its items.
select s.event_id, s.seat, s.booking_id
from seats s
join bookings b on b.event_id = s.event_id and b.id = s.booking_id
    and b.state not in ('expired', 'cancelled', 'failed')
left join booking_items i
    on i.event_id = s.event_id and i.booking_id = s.booking_id and i.seat = s.seat
where i.seat is null;

-- item_without_its_seat --
-- A live booking has lost a seat: the seat is free, or belongs to another buyer.
select i.event_id, i.booking_id, i.seat, s.booking_id as owner
from bookings b
join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
left join seats s on s.event_id = i.event_id and s.seat = i.seat
where b.state not in ('expired', 'cancelled', 'failed') and i.returned_at is null
    and s.booking_id is distinct from b.id;

-- quantity_is_not_items --
-- A buyer got more or fewer seats than were asked for.
select b.event_id, b.id as booking_id, b.quantity, coalesce(i.items, 0) as items
from bookings b
left join (select event_id, booking_id, count(*) as items from booking_items group by 1, 2) i
    on i.event_id = b.event_id and i.booking_id = b.id
where coalesce(i.items, 0) <> b.quantity;

-- seat_sold_too_early --
-- A seat is sold although its booking was never confirmed.
select s.event_id, s.seat, s.booking_id, b.state as booking_state
from seats s
join bookings b on b.event_id = s.event_id and b.id = s.booking_id
where s.state = 'sold'
    and b.state not in ('confirmed', 'frozen', 'expired', 'cancelled', 'failed');

-- confirmed_seat_not_sold --
-- A seat of a confirmed booking is not sold, and could be released like a held one.
select b.event_id, b.id as booking_id, s.seat, s.state as seat_state
from bookings b
join seats s on s.event_id = b.event_id and s.booking_id = b.id
where b.state in ('confirmed', 'frozen') and s.state <> 'sold';

-- confirmed_seat_without_one_ticket --
-- A sold seat has no valid ticket, or two.
select i.event_id, i.booking_id, i.seat, count(t.id) as valid_tickets
from bookings b
join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
left join tickets t on t.event_id = i.event_id and t.booking_id = i.booking_id
    and t.seat = i.seat and t.state = 'valid'
where b.state = 'confirmed' and i.returned_at is null
group by i.event_id, i.booking_id, i.seat
having count(t.id) <> 1;

-- ticket_without_confirmed_booking --
-- A ticket is valid although its booking is not confirmed.
select t.event_id, t.id as ticket_id, t.booking_id, t.seat, b.state as booking_state
from tickets t
left join bookings b on b.event_id = t.event_id and b.id = t.booking_id
where t.state = 'valid' and (b.id is null or b.state not in ('confirmed', 'frozen'));

-- returned_seat_still_owned --
-- A ticket was returned, but is still valid, or its seat still belongs to the booking.
select i.event_id, i.booking_id, i.seat, s.state as seat_state, t.id as ticket_id
from booking_items i
left join seats s
    on s.event_id = i.event_id and s.seat = i.seat and s.booking_id = i.booking_id
left join tickets t on t.event_id = i.event_id and t.booking_id = i.booking_id
    and t.seat = i.seat and t.state = 'valid'
where i.returned_at is not null and (s.seat is not null or t.id is not null);

-- booking_without_seats_goes_on --
-- All tickets of a booking were returned, but the booking has not ended.
select b.event_id, b.id as booking_id, b.state
from bookings b
where b.state in ('confirmed', 'frozen')
    and exists (select from booking_items i
                where i.event_id = b.event_id and i.booking_id = b.id and i.returned_at is not null)
    and not exists (select from booking_items i
                where i.event_id = b.event_id and i.booking_id = b.id and i.returned_at is null);

-- confirmed_booking_not_paid_once --
-- A confirmed booking is not paid by exactly one captured payment of exactly its total.
select b.event_id, b.id as booking_id, b.total, b.currency, p.payments, p.fitting
from bookings b
left join (
    select p.event_id, p.booking_id, count(*) as payments,
        count(*) filter (where p.captured = o.total and p.currency = o.currency
            and p.id = o.payment_id) as fitting
    from payments p
    join bookings o on o.event_id = p.event_id and o.id = p.booking_id
    where p.state = 'captured' group by 1, 2
) p on p.event_id = b.event_id and p.booking_id = b.id
where b.state in ('confirmed', 'frozen')
    and (coalesce(p.payments, 0) <> least(b.total, 1)
         or coalesce(p.fitting, 0) <> least(b.total, 1));

-- money_without_a_booking --
-- Money was captured for a booking that is not confirmed. No task will confirm the booking or refund the
-- money, and the organiser has not decided to keep it.
select p.event_id, p.booking_id, p.id as payment_id, p.captured, b.state as booking_state
from payments p
left join bookings b on b.event_id = p.event_id and b.id = p.booking_id
where p.captured > 0
    and (p.state <> 'captured' or b.id is null or b.state not in ('confirmed', 'frozen'))
    and p.captured > p.kept + (
        select coalesce(sum(r.amount), 0) from refunds r
        where r.payment_id = p.id
            and (r.state in ('pending', 'succeeded') or r.settled_at is not null))
      + (select coalesce(sum(d.amount), 0) from disputes d
        where d.payment_id = p.id and d.state = 'lost')
    and not exists (select from outbox o where o.queue <> 'mail'
                    and o.args->>'booking_id' = p.booking_id::text)
    and not exists (select from outbox o where o.args->>'payment_id' = p.id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = p.booking_id and d.resolved_at is null);

-- two_live_payments --
-- A buyer could be charged twice for one booking.
select event_id, booking_id, count(*) as live
from payments
where state in ('intended', 'requires_action', 'processing', 'authorised', 'captured', 'unknown')
group by event_id, booking_id
having count(*) > 1;

-- refunded_more_than_captured --
-- More money was refunded than was captured, or will be.
select r.payment_id, p.captured, r.given_back
from (select payment_id, sum(amount) as given_back from refunds
      where state in ('pending', 'succeeded') group by payment_id) r
join payments p on p.id = r.payment_id
where r.given_back > p.captured;

-- refunds_counted_wrongly --
-- The refunded money of a payment is not the sum of its refunds.
select p.id as payment_id, p.refunded, r.given_back
from payments p
left join (select payment_id, sum(amount) as given_back from refunds
           where state in ('pending', 'succeeded') group by payment_id) r on r.payment_id = p.id
where p.refunded <> coalesce(r.given_back, 0);

-- refund_of_nothing_returned --
-- A refund is for a seat whose ticket was never returned.
select r.event_id, r.refund_id, r.booking_id, r.seat
from refund_items r
join booking_items i
    on i.event_id = r.event_id and i.booking_id = r.booking_id and i.seat = r.seat
where i.returned_at is null;

-- disputed_booking_goes_on --
-- A bank has the money of a booking, for now or for good, but the tickets are still valid.
select b.event_id, b.id as booking_id, d.gateway_ref, d.state as dispute_state
from disputes d
join bookings b on b.event_id = d.event_id and b.id = d.booking_id and b.payment_id = d.payment_id
where b.state = 'confirmed' and d.state in ('needs_response', 'under_review', 'lost')
    or b.state = 'frozen' and d.state = 'lost' and not exists (
        select from disputes o where o.payment_id = d.payment_id
            and o.state in ('needs_response', 'under_review'));

-- frozen_without_dispute --
-- A booking is frozen, and nothing will ever unfreeze it.
select b.event_id, b.id as booking_id
from bookings b
where b.state = 'frozen' and not exists (
    select from disputes d where d.payment_id = b.payment_id
        and d.state in ('needs_response', 'under_review', 'lost'))
    and not exists (select from fraud_warnings w where w.payment_id = b.payment_id
                    and w.actionable and w.dismissed_at is null)
    and not exists (select from outbox o where o.actor = 'look_at_dispute'
                    and o.args->>'booking_id' = b.id::text);

-- warned_booking_not_frozen --
-- A payment has a fraud warning that is not decided, but the tickets are still valid.
select b.event_id, b.id as booking_id, w.gateway_ref
from fraud_warnings w
join bookings b on b.event_id = w.event_id and b.id = w.booking_id and b.payment_id = w.payment_id
where b.state = 'confirmed' and w.actionable and w.dismissed_at is null
    and not exists (select from outbox o where o.actor = 'freeze_for_fraud_warning'
                    and o.key = w.payment_id::text);

-- booked_entry_without_its_booking --
-- An entry is booked, but its booking does not exist, belongs to another buyer, or came from another entry.
select e.event_id, e.id as entry_id, e.booking_id, e.buyer_id, b.buyer_id as owner, b.entry_id
from entries e
left join bookings b on b.event_id = e.event_id and b.id = e.booking_id
where e.booking_id is not null
    and (b.id is null or b.buyer_id <> e.buyer_id or b.entry_id is distinct from e.id);

-- booking_without_its_entry --
-- A booking came from an entry that does not say so.
select b.event_id, b.id as booking_id, b.entry_id, e.state as entry_state, e.booking_id as told
from bookings b
left join entries e on e.event_id = b.event_id and e.id = b.entry_id
where b.entry_id is not null and e.booking_id is distinct from b.id;

-- waiting_without_lane --
-- An entry waits in a queue that no drain will ever serve.
select e.event_id, count(*) as waiting
from entries e
where e.state in ('lobby', 'waiting', 'standby', 'admitted')
    and not exists (select from lanes l join lane_state s on s.event_id = l.event_id
                    where l.event_id = e.event_id)
group by e.event_id;

-- total_is_not_the_sum --
-- A booking's total is not the sum of its items and its own fee, or they are in another currency.
select b.event_id, b.id as booking_id, b.total, b.currency, i.total as sum_of_items
from bookings b
join (select event_id, booking_id, sum(price + fee) as total, min(currency) as lowest,
          max(currency) as highest
      from booking_items group by 1, 2) i on i.event_id = b.event_id and i.booking_id = b.id
where b.total <> i.total + b.fee or i.lowest <> b.currency or i.highest <> b.currency;

-- tax_is_not_the_rates --
-- The tax in a price or a fee is not the tax of its rate.
select b.event_id, b.id as booking_id, l.seat, l.tax, l.price + l.fee as amount, l.tax_rate
from bookings b
join currencies c on c.code = b.currency
join (select event_id, booking_id, seat, price, fee, tax_rate, tax from booking_items
      union all
      select event_id, id, null, 0, fee, fee_tax_rate, fee_tax from bookings) l
    on l.event_id = b.event_id and l.booking_id = b.id
where l.tax <> tax_in(l.price + l.fee, l.tax_rate, c.step);

-- test_among_the_real --
-- An event in test mode is paid through an account where money moves, or the other way round; or a test has a
-- receipt.
select e.id as event_id, e.is_test, a.mode, exists (select from receipts r where r.event_id = e.id) as has_receipts
from events e join gateway_accounts a on a.id = e.gateway_account_id
where e.is_test <> (a.mode = 'test') or e.is_test and exists (select from receipts r where r.event_id = e.id);

-- paid_booking_without_receipt --
-- A booking was paid, but has no receipt and none is due; or its receipt is not for the paid amount.
select b.event_id, b.id as booking_id, b.total, b.currency, r.number, r.total as on_receipt
from bookings b
left join receipts r on r.event_id = b.event_id and r.booking_id = b.id and r.refund_id is null
where b.confirmed_at is not null and b.total > 0
    and (r.total <> b.total or r.currency <> b.currency or r.number is null and not exists (
        select from receipts_due d where d.booking_id = b.id and d.occasion = 'confirmed'))
    and not exists (select from events e where e.id = b.event_id and e.is_test);

-- refund_without_credit_note --
-- The refunded money of a booking is not the sum of its credit notes and reversals, and none is due.
select r.event_id, r.id as refund_id, r.amount, r.state, coalesce(n.total, 0) as on_notes
from refunds r
join bookings b on b.event_id = r.event_id and b.id = r.booking_id and b.payment_id = r.payment_id
    and b.confirmed_at is not null
left join (select refund_id, sum(total) as total from receipts group by refund_id) n
    on n.refund_id = r.id
where coalesce(n.total, 0)
        <> case when r.state = 'succeeded' or r.settled_at is not null then -r.amount else 0 end
    and not exists (select from receipts_due d
                    where d.booking_id = r.booking_id and d.refund_id = r.id)
    and not exists (select from events e where e.id = r.event_id and e.is_test);

-- receipt_does_not_add_up --
-- A document's total is not the sum of its parts by rate; or a part is not the sum of net and tax; or a
-- receipt's total is not the sum of its lines; or the lines of another document exceed its total.
select r.organisation_id, r.number, r.total, t.total as by_rate, l.total as by_line
from receipts r
cross join lateral (
    select sum((p ->> 'total')::bigint) as total, sum((p ->> 'net')::bigint) as net,
        sum((p ->> 'tax')::bigint) as tax
    from jsonb_array_elements(r.breakdown -> 'taxes') p) t
cross join lateral (
    select sum((p ->> 'total')::bigint) as total
    from jsonb_array_elements(r.breakdown -> 'lines') p) l
where r.total <> t.total or t.total <> t.net + t.tax
    or row(t.total, t.net, t.tax) is distinct from row((r.breakdown ->> 'total')::bigint,
        (r.breakdown ->> 'net')::bigint, (r.breakdown ->> 'tax')::bigint)
    or r.kind = 'receipt' and r.total is distinct from l.total or abs(l.total) > abs(r.total);

-- receipt_numbers_with_gaps --
-- An organisation's numbers do not run from 1 without a gap.
select organisation_id, count(*) as receipts, min(number) as first, max(number) as last
from receipts
group by organisation_id
having min(number) <> 1 or max(number) <> count(*);

-- buyer_counted_wrongly --
-- The counter for the cap on a buyer's seats is not the number of the buyer's seats.
select coalesce(c.event_id, h.event_id) as event_id, coalesce(c.buyer_id, h.buyer_id) as buyer_id,
    c.seats as counted, h.seats as has
from buyer_seats c
full join (
    select b.event_id, b.buyer_id, count(*) as seats
    from bookings b
    join booking_items i on i.event_id = b.event_id and i.booking_id = b.id
    where b.state not in ('expired', 'cancelled', 'failed') and i.returned_at is null
    group by 1, 2
) h on h.event_id = c.event_id and h.buyer_id = c.buyer_id
where coalesce(c.seats, 0) <> coalesce(h.seats, 0);

-- state_not_in_log --
-- The state of a booking, payment or refund is not the last one in its state log.
select r.noun, r.event_id, r.id, r.state, l.new_state as logged
from (select 'booking' as noun, event_id, id, state from bookings
      union all select 'payment', event_id, id, state from payments
      union all select 'refund', event_id, id, state from refunds) r
left join lateral (
    select new_state from state_log l where l.event_id = r.event_id and l.id = r.id
    order by at desc limit 1) l on true
where l.new_state is distinct from r.state;

-- booking_under_way_forgotten --
-- A booking is being paid, and nothing will end it: there is no task, no question to the buyer, and no open
-- dead letter.
select b.event_id, b.id as booking_id, b.state, p.state as payment_state
from bookings b
left join payments p on p.id = b.payment_id
where b.state in ('authorising', 'expiring', 'secured')
    and not (b.state = 'authorising' and p.state = 'requires_action')
    and not exists (select from outbox o where o.actor = 'advance' and o.key = b.id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = b.id and d.resolved_at is null);

-- review_past_its_time --
-- A review is not decided, and its deadline has passed.
select event_id, id as booking_id, review_until
from bookings
where state = 'review' and review_until < clock_timestamp() - interval '10 min';

-- review_without_reserved_money --
-- A payment is in review, but it is not authorised.
select b.event_id, b.id as booking_id, p.id as payment_id, p.state as payment_state
from bookings b
left join payments p on p.id = b.payment_id
where b.state = 'review' and p.state is distinct from 'authorised';

-- booking_under_way_without_payment --
-- A booking is being paid, but its attempt to pay belongs to another booking or has ended.
select b.event_id, b.id as booking_id, b.state, p.state as payment_state
from bookings b
left join payments p on p.id = b.payment_id and p.event_id = b.event_id and p.booking_id = b.id
where b.state in ('authorising', 'expiring', 'secured')
    and (p.id is null or p.state in ('failed', 'voided'));

-- payment_forgotten --
-- A payment may have a buyer's money, and no task works on its booking.
select p.event_id, p.id as payment_id, p.state, b.state as booking_state
from payments p
left join bookings b on b.event_id = p.event_id and b.id = p.booking_id
where p.state in ('intended', 'requires_action', 'processing', 'authorised', 'unknown')
    and (b.id is null or b.state not in ('authorising', 'expiring', 'review', 'secured'))
    and not exists (select from outbox o where o.queue <> 'mail'
                    and o.args->>'booking_id' = p.booking_id::text)
    and not exists (select from outbox o where o.args->>'payment_id' = p.id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = p.booking_id and d.resolved_at is null);

-- refund_forgotten --
-- A refund was never sent to the gateway, and no task will send it.
select r.event_id, r.id as refund_id, r.booking_id
from refunds r
where r.state = 'pending' and r.gateway_ref is null
    and not exists (select from outbox o where o.args->>'refund_id' = r.id::text)
    and not exists (select from outbox o where o.queue <> 'mail'
                    and o.args->>'booking_id' = r.booking_id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = r.booking_id and d.resolved_at is null);

-- offline_money_forgotten --
-- An organiser marked a booking as paid, and no task has read that.
select o.payment_id, p.event_id, p.booking_id, o.reference
from offline_payments o join payments p on p.id = o.payment_id
where o.reference is not null and p.captured = 0
    and not exists (select from outbox t where t.queue <> 'mail'
                    and t.args->>'booking_id' = p.booking_id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = p.booking_id and d.resolved_at is null);

-- transfers_do_not_add_up --
-- Of the money that came for an offline payment, another part than its price counts as paid: the rest is neither
-- asked for nor waits for a decision.
select p.event_id, p.booking_id, p.id as payment_id, o.amount as paid, t.taken
from payments p
left join offline_payments o on o.payment_id = p.id
cross join lateral (
    select coalesce(sum(x.amount - x.surplus), 0) as taken from transfers x where x.payment_id = p.id) t
where p.method = 'offline' and case
    when o.reference is not null then t.taken <> o.amount
    when o.payment_id is not null then t.taken <> 0
    else t.taken >= p.amount end;

-- owed_and_nobody_told --
-- A refund failed and is owed, and there is no dead letter for it.
select r.event_id, r.id as refund_id, r.booking_id, r.amount, r.currency
from refunds r
where r.state = 'failed' and r.retried_by is null and r.settled_at is null
    and not exists (select from dead_letters d
                    where d.args->>'refund_id' = r.id::text and d.resolved_at is null);

-- confirmation_not_mailed --
-- The buyer of a confirmed booking will never get the e-mail with the tickets.
select b.event_id, b.id as booking_id
from bookings b
where b.state in ('confirmed', 'frozen') and not exists (
    select from emails m
    where m.event_id = b.event_id and m.booking_id = b.id and m.template = 'confirmed');

-- postponement_not_mailed --
-- The buyer of a booking from before a postponement will never get the e-mail that tells of it.
select p.event_id, b.id as booking_id, p.number
from postponements p
join events e on e.id = p.event_id and e.state <> 'cancelled'
join bookings b on b.event_id = p.event_id and b.created_at < p.requested_at
where p.finished_at is not null and b.state in ('confirmed', 'frozen')
    and not exists (select from postponements n
                    where n.event_id = p.event_id and n.number > p.number)
    and not exists (select from emails m
                    where m.event_id = b.event_id and m.booking_id = b.id and m.postponement = p.number);

-- email_forgotten --
-- An e-mail waits to be sent, and no task will send it.
select m.id as email_id, m.event_id, m.booking_id, m.template
from emails m
where m.state = 'pending'
    and not exists (select from outbox o
                    where o.actor = 'send_email' and o.args->>'email_id' = m.id::text)
    and not exists (select from dead_letters d
                    where d.args->>'email_id' = m.id::text and d.resolved_at is null);

-- plan_import_forgotten --
-- The import of a large plan waits, and no task will read it.
select i.id as import_id, i.organisation_id, i.state
from plan_imports i
where i.state in ('waiting', 'reading')
    and not exists (select from outbox o
                    where o.actor = 'import_plan' and o.args->>'import_id' = i.id::text)
    and not exists (select from dead_letters d
                    where d.args->>'import_id' = i.id::text and d.resolved_at is null);

-- stalled_for_ever --
-- A lane waits for seats, and no held seat can come back.
select l.event_id
from lane_state l
where l.state = 'waiting_for_seats'
    and not exists (select from lane_wakes w where w.event_id = l.event_id)
    and not exists (select from bookings b where b.event_id = l.event_id
                    and b.state in ('held', 'authorising', 'expiring', 'review', 'secured'))
    and not exists (select from entries e where e.event_id = l.event_id
                    and e.state = 'admitted' and e.pass_state <> 'missed')
    and exists (select from entries e where e.event_id = l.event_id
                and e.state in ('waiting', 'standby'));

-- queue_ending_without_its_state --
-- A queue was ended and its lane does not know, or a lane is ending and nothing says what entries are told.
select coalesce(l.event_id, q.event_id) as event_id, l.state
from lane_state l full join queue_endings q on q.event_id = l.event_id
where (l.state = 'ending') is distinct from (q.event_id is not null);

-- standby_without_hope --
-- An entry is on standby, and nothing can wake it.
select e.event_id, e.id as entry_id
from entries e
join lane_state l on l.event_id = e.event_id
where e.state = 'standby' and e.number < l.standby_from and l.state <> 'ending'
    and not exists (select from lane_wakes w where w.event_id = e.event_id)
    and not exists (select from bookings b where b.event_id = e.event_id
                    and b.state in ('held', 'authorising', 'expiring', 'review', 'secured'))
    and not exists (select from entries a where a.event_id = e.event_id
                    and a.state = 'admitted' and a.pass_state <> 'missed');

-- confirmed_booking_not_told --
-- A booking was confirmed, and the feed has gone on without a message about it.
select l.event_id, l.id as booking_id, l.at as confirmed_at
from feed_progress p
join state_log l on l.at > greatest(p.began_at, clock_timestamp() - interval '30 days') and l.xid < p.from_xid
where l.noun = 'booking' and l.new_state = 'confirmed' and l.old_state is distinct from 'frozen'
    and l.actor is distinct from 'archive'
    and not exists (select from feed_messages m where m.subject = l.id and m.event_id = l.event_id
        and m.type = 'booking.confirmed');

-- feed_numbers_with_gaps --
-- A number of a feed is missing or was given twice, or the next number is not the one after the last.
select h.organisation_id, h.is_test, h.last_number, count(m.number) as messages, min(m.number) as first,
    max(m.number) as last
from feed_heads h
join feed_messages m on m.organisation_id = h.organisation_id and m.is_test = h.is_test
group by h.organisation_id, h.is_test, h.last_number
having max(m.number) <> h.last_number or count(*) <> max(m.number) - min(m.number) + 1;

-- audit_chain_broken --
-- An act of the audit log was changed, deleted or added afterwards.
select organisation_id, number, act_id, finding from verify_acts(null);
