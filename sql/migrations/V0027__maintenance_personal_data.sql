/* Personal data: who wants them erased, and indexes by which they are found. */

/* An account whose personal data are to be erased. because: why that waits; empty: it does not, or is done. */
create table erasures (
    account_id bigint primary key references accounts,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    because text[] not null default '{}' check (because <@ array['booking_under_way', 'waiting_in_a_queue',
        'payment_under_way', 'money_owed', 'dispute_open', 'ticket_valid', 'member']),
    checked_at timestamptz not null default clock_timestamp(),
    erased_at timestamptz,
    check (erased_at is null or because = '{}')
);
create index erasures_open on erasures (checked_at) where erased_at is null;

create index notification_inbox_payment on notification_inbox (payment_id) where payment_id is not null;
create index emails_buyer on emails (buyer_id) where booking_id is null;
