/* Ways to pay beside cards. A card can be authorised, and is captured when the seats are surely the
   buyer's. The other methods of the gateway are charged at once; that can take days ('processing').
   Offline money is paid at the box office, or into a bank account, and marked as paid by the organiser.

   payment_methods: in the gateway's words. offline_seconds: the time to pay offline; null: one cannot.
   offline_instructions: where to pay. */
create unique index gateway_accounts_one_offline on gateway_accounts (organisation_id)
    where provider = 'offline';
alter table events
    add column payment_methods text[] not null default '{card}'
        check (payment_methods <@ array['card', 'sepa_debit', 'us_bank_account', 'ideal', 'bancontact',
            'eps', 'p24', 'twint', 'blik']),
    add column offline_account_id bigint references gateway_accounts,
    add column offline_instructions text not null default ''
        check (length(offline_instructions) <= 2000),
    add column offline_seconds integer check (offline_seconds between 60 and 7776000),
    add check ((offline_account_id is null) = (offline_seconds is null)),
    add constraint events_can_be_paid
        check (cardinality(payment_methods) > 0 or offline_account_id is not null);

alter table payments
    drop constraint payments_state_check,
    add constraint payments_state_check check (state in ('intended', 'requires_action', 'processing',
        'authorised', 'captured', 'failed', 'unknown', 'voided')),
    add column method text not null default 'card',
    add constraint payments_processing check (state <> 'processing' or gateway_id is not null);
drop index payments_one_live;
create unique index payments_one_live on payments (event_id, booking_id)
    where state in ('intended', 'requires_action', 'processing', 'authorised', 'captured', 'unknown');
create index payments_offline on payments (event_id, id) where method = 'offline';
drop function if exists start_payment(bigint, uuid, bigint, text, text);

insert into legal_moves (noun, old_state, new_state)
select noun, old_state, unnest(string_to_array(targets, ' '))
from (values
    -- Charged at once: declined, or it turns out to be the buyer's turn.
    ('booking', 'secured', 'held authorising'),
    ('payment', 'intended', 'processing'),
    ('payment', 'unknown', 'processing'),
    ('payment', 'requires_action', 'processing'),
    ('payment', 'processing', 'requires_action authorised captured failed voided'),
    -- Money for what was voided: it can only be marked as paid offline. It goes back.
    ('payment', 'voided', 'failed')
) as moves (noun, old_state, targets);

/* What is known of money paid offline. The primary key decides between the organiser, who marks a payment
   as paid, and the saga, which gives it up: whoever is first has the row. Both: it was paid too late, and
   goes back. reference: of the bank or of the box office, for one payment alone. */
create table offline_payments (
    payment_id uuid primary key references payments,
    gateway_account_id bigint not null references gateway_accounts,
    cancelled_at timestamptz,
    reference text check (length(reference) between 1 and 200),
    amount bigint check (amount > 0),
    currency char(3),
    received_at timestamptz,
    recorded_by text,
    unique (gateway_account_id, reference),
    check (num_nulls(reference, amount, currency, received_at, recorded_by) in (0, 5)),
    check (cancelled_at is not null or reference is not null)
);

/* Refunds of such money that the organiser says were paid. */
create table offline_refunds (
    refund_id uuid primary key references refunds,
    how text not null check (length(how) between 1 and 500),
    paid_at timestamptz not null default clock_timestamp(),
    recorded_by text not null
);

/* Whether somebody was called about a booking: asked whenever its buyer looks. */
create index dead_letters_booking on dead_letters (booking_id) where resolved_at is null;
