/* Addresses in the form that is mailed (db/presentation/addresses.py): ASCII, the domain in lower case by
   IDNA 2008. So one mailbox is one account, however its address is typed. Not valid yet: release rewrites
   earlier rows (ops/deploy/addresses.py), tells which cannot be rewritten, and then validates it. */
alter table buyers add constraint buyers_email_mailed_form check (email ~ '^[ -~]+@[a-z0-9.-]+$') not valid;

/* Where the mails of a booking go instead of to its buyer's address, since that was wrong: the organiser
   corrected it. The account keeps its own address: another organisation may know the buyer, too. No foreign
   key: an address is not archived with its booking, it is deleted then. */
create table booking_addresses (
    event_id bigint not null,
    booking_id uuid not null,
    email text not null check (length(email) between 3 and 254 and email ~ '^[ -~]+@[a-z0-9.-]+$'),
    corrected_at timestamptz not null default clock_timestamp(),
    primary key (event_id, booking_id)
);

/* admitted_at: when the limits of its mailbox let the mail go. resends: how often it was sent again because
   the organiser wanted it; each has a Message-ID of its own. */
alter table emails
    add column admitted_at timestamptz,
    add column resends smallint not null default 0 check (resends >= 0);

/* What mailboxes got, for their limits (sql/functions/mail/mail_limits.sql). mailbox: a hash, since addresses
   are in buyers and booking_addresses only. sent, kinds: the times and kinds of its latest mails. last_day: the
   day of the last one, for the purge; a date, so that most updates change no index. */
create table mailboxes (
    mailbox bigint primary key,
    sent timestamptz[] not null default '{}',
    kinds text[] not null default '{}',
    last_day date not null default (clock_timestamp() at time zone 'utc')::date,
    check (cardinality(sent) = cardinality(kinds))
) with (fillfactor = 80);
create index mailboxes_age on mailboxes (last_day);
