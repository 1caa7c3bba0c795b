-- What must never be: every query here returns no row, at any moment, in any state that a crash can
-- leave behind. Tests, the fault campaign, the demo and the running auditor all use this file
-- (db/maintenance/invariants.py). Each query stands alone, so that one snapshot decides it.
--
-- Live bookings are those that have not ended: all states but expired, cancelled and failed. Tasks of
-- the mail queue tell buyers; they finish nothing.


-- seat_of_no_live_booking --
-- A seat is withheld from everybody by a booking that has ended, or that does not exist.
select s.event_id, s.seat, s.state as seat_state, s.booking_id, b.state as booking_state
from seats s
left join bookings b on b.event_id = s.event_id and b.id = s.booking_id
where s.booking_id is not null
    and (b.id is null or b.state in ('expired', 'cancelled', 'failed'));

-- seat_not_among_items --
-- A booking holds a seat that its buyer did not get: it is not one of its items.
select s.event_id, s.seat, s.booking_id
from seats s
join bookings b on b.event_id = s.event_id and b.id = s.booking_id
    and b.state not in ('expired', 'cancelled', 'failed')
left join booking_items i
    on i.event_id = s.event_id and i.booking_id = s.booking_id and i.seat = s.seat
where i.seat is null;

-- item_without_its_seat --
-- A live booking has lost a seat: it is free, or another buyer's.
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
-- A seat counts as sold although its booking was never confirmed.
select s.event_id, s.seat, s.booking_id, b.state as booking_state
from seats s
join bookings b on b.event_id = s.event_id and b.id = s.booking_id
where s.state = 'sold'
    and b.state not in ('confirmed', 'frozen', 'expired', 'cancelled', 'failed');

-- confirmed_seat_not_sold --
-- A seat of a confirmed booking could still be released as if it were only held.
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
-- A valid ticket would open the door to a seat that was not, or is no longer, bought.
select t.event_id, t.id as ticket_id, t.booking_id, t.seat, b.state as booking_state
from tickets t
left join bookings b on b.event_id = t.event_id and b.id = t.booking_id
where t.state = 'valid' and (b.id is null or b.state not in ('confirmed', 'frozen'));

-- returned_seat_still_owned --
-- A ticket was given back, and still opens the door, or its seat is withheld from everybody.
select i.event_id, i.booking_id, i.seat, s.state as seat_state, t.id as ticket_id
from booking_items i
left join seats s
    on s.event_id = i.event_id and s.seat = i.seat and s.booking_id = i.booking_id
left join tickets t on t.event_id = i.event_id and t.booking_id = i.booking_id
    and t.seat = i.seat and t.state = 'valid'
where i.returned_at is not null and (s.seat is not null or t.id is not null);

-- booking_without_seats_goes_on --
-- All tickets of a booking were given back, and it counts as if its buyer would come.
select b.event_id, b.id as booking_id, b.state
from bookings b
where b.state in ('confirmed', 'frozen')
    and exists (select from booking_items i
                where i.event_id = b.event_id and i.booking_id = b.id and i.returned_at is not null)
    and not exists (select from booking_items i
                where i.event_id = b.event_id and i.booking_id = b.id and i.returned_at is null);

-- confirmed_booking_not_paid_once --
-- A confirmed booking was not paid, or not by exactly one captured payment of exactly its total.
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
-- Money was taken for a booking that is not confirmed, was not decided to be kept, and nothing is under
-- way to finish the booking or to give the money back.
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
-- More money was given back than was taken, or is about to be.
select r.payment_id, p.captured, r.given_back
from (select payment_id, sum(amount) as given_back from refunds
      where state in ('pending', 'succeeded') group by payment_id) r
join payments p on p.id = r.payment_id
where r.given_back > p.captured;

-- refunds_counted_wrongly --
-- What a payment says was given back is not the sum of its refunds.
select p.id as payment_id, p.refunded, r.given_back
from payments p
left join (select payment_id, sum(amount) as given_back from refunds
           where state in ('pending', 'succeeded') group by payment_id) r on r.payment_id = p.id
where p.refunded <> coalesce(r.given_back, 0);

-- refund_of_nothing_returned --
-- A refund says that it is for a seat whose ticket was never given back.
select r.event_id, r.refund_id, r.booking_id, r.seat
from refund_items r
join booking_items i
    on i.event_id = r.event_id and i.booking_id = r.booking_id and i.seat = r.seat
where i.returned_at is null;

-- disputed_booking_goes_on --
-- A bank has a booking's money, for now or for good, and its tickets are good all the same.
select b.event_id, b.id as booking_id, d.gateway_ref, d.state as dispute_state
from disputes d
join bookings b on b.event_id = d.event_id and b.id = d.booking_id and b.payment_id = d.payment_id
where b.state = 'confirmed' and d.state in ('needs_response', 'under_review', 'lost')
    or b.state = 'frozen' and d.state = 'lost' and not exists (
        select from disputes o where o.payment_id = d.payment_id
            and o.state in ('needs_response', 'under_review'));

-- frozen_without_dispute --
-- Tickets are on hold, and nothing will ever release them.
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
-- An issuer of cards suspects fraud, it is not decided about, and the tickets are good all the same.
select b.event_id, b.id as booking_id, w.gateway_ref
from fraud_warnings w
join bookings b on b.event_id = w.event_id and b.id = w.booking_id and b.payment_id = w.payment_id
where b.state = 'confirmed' and w.actionable and w.dismissed_at is null
    and not exists (select from outbox o where o.actor = 'freeze_for_fraud_warning'
                    and o.key = w.payment_id::text);

-- booked_entry_without_its_booking --
-- An entry was told "booked" for a booking that is not there, is another buyer's, or came from another
-- place in the queue.
select e.event_id, e.id as entry_id, e.booking_id, e.buyer_id, b.buyer_id as owner, b.entry_id
from entries e
left join bookings b on b.event_id = e.event_id and b.id = e.booking_id
where e.booking_id is not null
    and (b.id is null or b.buyer_id <> e.buyer_id or b.entry_id is distinct from e.id);

-- booking_without_its_entry --
-- A place in the queue led to a booking that its owner is not told of.
select b.event_id, b.id as booking_id, b.entry_id, e.state as entry_state, e.booking_id as told
from bookings b
left join entries e on e.event_id = b.event_id and e.id = b.entry_id
where b.entry_id is not null and e.booking_id is distinct from b.id;

-- waiting_without_lane --
-- An entry waits in a queue that nothing will ever serve.
select e.event_id, count(*) as waiting
from entries e
where e.state in ('lobby', 'waiting', 'standby', 'admitted')
    and not exists (select from lanes l where l.event_id = e.event_id)
group by e.event_id;

-- total_is_not_the_sum --
-- A booking's total is not what its items and its own fee cost, or they are in another currency.
select b.event_id, b.id as booking_id, b.total, b.currency, i.total as sum_of_items
from bookings b
join (select event_id, booking_id, sum(price + fee) as total, min(currency) as lowest,
          max(currency) as highest
      from booking_items group by 1, 2) i on i.event_id = b.event_id and i.booking_id = b.id
where b.total <> i.total + b.fee or i.lowest <> b.currency or i.highest <> b.currency;

-- tax_is_not_the_rates --
-- The tax that is contained in a price or a fee is not what its rate says.
select b.event_id, b.id as booking_id, l.seat, l.tax, l.price + l.fee as amount, l.tax_rate
from bookings b
join currencies c on c.code = b.currency
join (select event_id, booking_id, seat, price, fee, tax_rate, tax from booking_items
      union all
      select event_id, id, null, 0, fee, fee_tax_rate, fee_tax from bookings) l
    on l.event_id = b.event_id and l.booking_id = b.id
where l.tax <> tax_in(l.price + l.fee, l.tax_rate, c.step);

-- paid_booking_without_receipt --
-- A booking was paid, has no receipt, and none is due; or has one for something else than was paid.
select b.event_id, b.id as booking_id, b.total, b.currency, r.number, r.total as on_receipt
from bookings b
left join receipts r on r.event_id = b.event_id and r.booking_id = b.id and r.refund_id is null
where b.confirmed_at is not null and b.total > 0
    and (r.total <> b.total or r.currency <> b.currency or r.number is null and not exists (
        select from receipts_due d where d.booking_id = b.id and d.occasion = 'confirmed'));

-- refund_without_credit_note --
-- What went back to a buyer is not what the credit notes say, less their reversals, and none is due.
select r.event_id, r.id as refund_id, r.amount, r.state, coalesce(n.total, 0) as on_notes
from refunds r
join bookings b on b.event_id = r.event_id and b.id = r.booking_id and b.payment_id = r.payment_id
    and b.confirmed_at is not null
left join (select refund_id, sum(total) as total from receipts group by refund_id) n
    on n.refund_id = r.id
where coalesce(n.total, 0)
        <> case when r.state = 'succeeded' or r.settled_at is not null then -r.amount else 0 end
    and not exists (select from receipts_due d
                    where d.booking_id = r.booking_id and d.refund_id = r.id);

-- receipt_does_not_add_up --
-- A document's total is not the sum of its parts by rate, or those are not net and tax, or a receipt's
-- total is not the sum of its lines, or those of another are more than its total.
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
-- The counter behind the cap on seats per buyer is not what the buyer has.
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
-- A booking, payment or refund is in a state that its log does not tell of.
select r.noun, r.event_id, r.id, r.state, l.new_state as logged
from (select 'booking' as noun, event_id, id, state from bookings
      union all select 'payment', event_id, id, state from payments
      union all select 'refund', event_id, id, state from refunds) r
left join lateral (
    select new_state from state_log l where l.event_id = r.event_id and l.id = r.id
    order by at desc limit 1) l on true
where l.new_state is distinct from r.state;

-- booking_under_way_forgotten --
-- A booking is being paid, and nothing will carry it to its end: no task, no buyer who is asked for
-- something, no open dead letter.
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
-- A payment is being looked at before it is taken, and it was taken, or nothing is reserved for it.
select b.event_id, b.id as booking_id, p.id as payment_id, p.state as payment_state
from bookings b
left join payments p on p.id = b.payment_id
where b.state = 'review' and p.state is distinct from 'authorised';

-- booking_under_way_without_payment --
-- A booking is being paid by nothing: its attempt to pay is another booking's, or over.
select b.event_id, b.id as booking_id, b.state, p.state as payment_state
from bookings b
left join payments p on p.id = b.payment_id and p.event_id = b.event_id and p.booking_id = b.id
where b.state in ('authorising', 'expiring', 'secured')
    and (p.id is null or p.state in ('failed', 'voided'));

-- payment_forgotten --
-- A payment that may hold a buyer's money belongs to a booking on which no task works.
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
-- A refund was promised, the gateway does not know of it, and no task will tell it.
select r.event_id, r.id as refund_id, r.booking_id
from refunds r
where r.state = 'pending' and r.gateway_ref is null
    and not exists (select from outbox o where o.args->>'refund_id' = r.id::text)
    and not exists (select from outbox o where o.queue <> 'mail'
                    and o.args->>'booking_id' = r.booking_id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = r.booking_id and d.resolved_at is null);

-- offline_money_forgotten --
-- An organiser marked a booking as paid, and no task has looked.
select o.payment_id, p.event_id, p.booking_id, o.reference
from offline_payments o join payments p on p.id = o.payment_id
where o.reference is not null and p.captured = 0
    and not exists (select from outbox t where t.queue <> 'mail'
                    and t.args->>'booking_id' = p.booking_id::text)
    and not exists (select from dead_letters d
                    where d.booking_id = p.booking_id and d.resolved_at is null);

-- owed_and_nobody_told --
-- A refund failed, so its money is still owed, and there is no dead letter for it.
select r.event_id, r.id as refund_id, r.booking_id, r.amount, r.currency
from refunds r
where r.state = 'failed' and r.retried_by is null and r.settled_at is null
    and not exists (select from dead_letters d
                    where d.args->>'refund_id' = r.id::text and d.resolved_at is null);

-- confirmation_not_mailed --
-- A confirmed booking's buyer will never get the e-mail with the tickets.
select b.event_id, b.id as booking_id
from bookings b
where b.state in ('confirmed', 'frozen') and not exists (
    select from emails m
    where m.event_id = b.event_id and m.booking_id = b.id and m.template = 'confirmed');

-- email_forgotten --
-- An e-mail waits to be sent, and no task will send it.
select m.id as email_id, m.event_id, m.booking_id, m.template
from emails m
where m.state = 'pending'
    and not exists (select from outbox o
                    where o.actor = 'send_email' and o.args->>'email_id' = m.id::text)
    and not exists (select from dead_letters d
                    where d.args->>'email_id' = m.id::text and d.resolved_at is null);

-- stalled_for_ever --
-- A lane waits for something to be settled, and nothing is.
select l.event_id
from lanes l
where l.stalled
    and not exists (select from lane_wakes w where w.event_id = l.event_id)
    and not exists (select from bookings b where b.event_id = l.event_id
                    and b.state in ('held', 'authorising', 'expiring', 'review', 'secured'))
    and not exists (select from entries e where e.event_id = l.event_id
                    and e.state = 'admitted' and e.pass_state <> 'missed')
    and exists (select from entries e where e.event_id = l.event_id
                and e.state in ('waiting', 'standby'));

-- standby_without_hope --
-- An entry is on standby, and nothing can come back that would have the entry looked at again.
select e.event_id, e.id as entry_id
from entries e
join lanes l on l.event_id = e.event_id
where e.state = 'standby' and e.number < l.standby_from and l.told_through is null
    and not exists (select from lane_wakes w where w.event_id = e.event_id)
    and not exists (select from bookings b where b.event_id = e.event_id
                    and b.state in ('held', 'authorising', 'expiring', 'review', 'secured'))
    and not exists (select from entries a where a.event_id = e.event_id
                    and a.state = 'admitted' and a.pass_state <> 'missed');
