/* E-mails: at most one for each booking and template, and for each refund and template. */
create table emails (
    id uuid primary key default uuid7(),
    event_id bigint,
    booking_id uuid,
    refund_id uuid references refunds,
    buyer_id bigint not null,
    template text not null,
    context jsonb not null default '{}',
    state text not null default 'pending' check (state in ('pending', 'sent', 'skipped', 'failed')),
    attempts smallint not null default 0,
    last_error text,
    created_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz,
    check ((state = 'sent') = (sent_at is not null))
) with (fillfactor = 80);
create unique index emails_one_per_booking on emails (event_id, booking_id, template)
    where refund_id is null;
create unique index emails_one_per_refund on emails (refund_id, template)
    where refund_id is not null;
create index emails_of_refunds on emails (event_id, booking_id) where refund_id is not null;
create index emails_age on emails (created_at) where booking_id is null;
