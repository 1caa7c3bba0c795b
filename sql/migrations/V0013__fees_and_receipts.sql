/* Currencies that can be sold in. Amounts are integers of the smallest unit: 10 ^ exponent of them are
   one, as the gateway counts them; only multiples of step can be charged.
   sql/data/currencies.sql fills it. */
create table currencies (
    code char(3) primary key check (code ~ '^[A-Z]{3}$'),
    exponent smallint not null check (exponent between 0 and 3),
    step integer not null check (step > 0),
    minimum_charge bigint not null check (minimum_charge > 0 and minimum_charge % step = 0),
    maximum_charge bigint not null check (maximum_charge >= minimum_charge)
);

/* booking_fee: for a booking that costs anything, beside the fees of its tickets; its tax is contained
   in it, as theirs is. Foreign keys to events' currency: written when a draft is, never by a sale. */
alter table events
    add foreign key (currency) references currencies,
    add column booking_fee bigint not null default 0 check (booking_fee between 0 and 999999999999),
    add column booking_fee_tax_rate numeric(6, 5) not null default 0
        check (booking_fee_tax_rate between 0 and 1);

/* What can be charged is a matter of the currency (check_prices): in rupiahs twelve digits. */
alter table event_categories
    drop constraint event_categories_price_check,
    drop constraint event_categories_fee_check,
    add check (price between 0 and 999999999999),
    add check (fee between 0 and 999999999999);

/* fee: the booking's own, part of total. A booking of free tickets has none. */
alter table bookings
    add column fee bigint not null default 0 check (fee >= 0),
    add column fee_tax_rate numeric(6, 5) not null default 0,
    add column fee_tax bigint not null default 0 check (fee_tax between 0 and fee),
    add constraint bookings_fee_of_something check (fee = 0 or fee < total);

alter table booking_items add constraint booking_items_tax_within check (tax <= price + fee);

/* Of a refund, what is for each seat; the rest is for the booking's fee, or for money alone. */
alter table refund_items add column amount bigint not null default 0 check (amount >= 0);


/* What is to be numbered, in the order in which it happened: written in the transaction of the change
   (sql/triggers/bookings.sql and refunds.sql), deleted in that of the number. So nobody who confirms a booking
   ever waits for an organisation's next number. */
create table receipts_due (
    id bigint generated always as identity primary key,
    organisation_id bigint not null,
    event_id bigint not null,
    booking_id uuid not null,
    refund_id uuid,
    occasion text not null
        check (occasion in ('confirmed', 'refunded', 'refund_failed', 'refund_settled')),
    created_at timestamptz not null default clock_timestamp(),
    check ((occasion = 'confirmed') = (refund_id is null))
) with (fillfactor = 80);
create index receipts_due_organisation on receipts_due (organisation_id, id);
create index receipts_due_booking on receipts_due (booking_id);

/* Receipts, and what corrects them: a refund's credit note, and when the refund failed after all, the
   note's reversal. total is negative on a credit note, so that a booking's documents sum up to what its
   seller has. breakdown: as it was when it was issued, for good; no names of buyers.

   Numbers run without a gap from 1 in each organisation: previous is a foreign key to the number before.
   No foreign key to bookings: its locks, in the order of numbers, could deadlock with theirs, which are
   in the order of ids; bookings stay. */
create table receipts (
    organisation_id bigint not null references organisations,
    number bigint not null check (number > 0),
    previous bigint generated always as (nullif(number - 1, 0)) stored,
    occasion text not null
        check (occasion in ('confirmed', 'refunded', 'refund_failed', 'refund_settled')),
    kind text not null generated always as (case occasion
        when 'confirmed' then 'receipt' when 'refund_failed' then 'reversal'
        else 'credit_note' end) stored,
    event_id bigint not null,
    booking_id uuid not null,
    refund_id uuid references refunds,
    corrects bigint,
    currency char(3) not null,
    total bigint not null,
    breakdown jsonb not null,
    issued_at timestamptz not null default clock_timestamp(),
    primary key (organisation_id, number),
    foreign key (organisation_id, previous) references receipts (organisation_id, number)
        deferrable initially deferred,
    foreign key (organisation_id, corrects) references receipts (organisation_id, number),
    check (corrects < number),
    check ((occasion = 'confirmed') = (refund_id is null)),
    check ((occasion = 'confirmed') = (corrects is null)),
    check (case when occasion in ('refunded', 'refund_settled') then total < 0 else total > 0 end)
);
create unique index receipts_one_per_booking on receipts (event_id, booking_id)
    where refund_id is null;
create unique index receipts_one_per_occasion on receipts (refund_id, occasion)
    where refund_id is not null;
create index receipts_booking on receipts (event_id, booking_id, number);
create index receipts_event on receipts (organisation_id, event_id, number);
