/* Money that came offline, each transfer once: what an organiser saw at the bank or the box office. Together they pay
   for a booking; offline_payments says that they do. surplus: the part that no booking took, since it was more than
   asked for, came too late, or was a part of what was never paid in full; of it the organiser decides. */
create table transfers (
    id uuid primary key default uuid7(),
    event_id bigint not null,
    booking_id uuid not null,
    payment_id uuid not null references payments,
    gateway_account_id bigint not null references gateway_accounts,
    reference text not null check (length(reference) between 1 and 200),
    amount bigint not null check (amount > 0),
    currency char(3) not null,
    surplus bigint not null default 0,
    decision text check (decision in ('refunded', 'kept')),
    how text check (length(how) between 1 and 500),
    decided_at timestamptz,
    decided_by text,
    received_at timestamptz not null default clock_timestamp(),
    recorded_by text not null,
    unique (gateway_account_id, reference),
    check (surplus between 0 and amount),
    check (num_nulls(decision, how, decided_at, decided_by) in (0, 4)),
    check (decision is null or surplus > 0)
);
create index transfers_event on transfers (event_id, id);
create index transfers_booking on transfers (event_id, booking_id);
create index transfers_payment on transfers (payment_id);
create index transfers_undecided on transfers (event_id, booking_id) where surplus > 0 and decision is null;

insert into transfers (event_id, booking_id, payment_id, gateway_account_id, reference, amount, currency,
    received_at, recorded_by)
select p.event_id, p.booking_id, p.id, o.gateway_account_id, o.reference, o.amount, o.currency, o.received_at,
    o.recorded_by
from offline_payments o join payments p on p.id = o.payment_id where o.reference is not null;
