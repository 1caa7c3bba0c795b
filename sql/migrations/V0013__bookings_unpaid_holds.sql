/* Holds of a buyer that ended unpaid, and passes that were not used: after some of them the next holds are
   shorter, and then the buyer has to wait. What an organisation allows: holds_free without a consequence,
   holds_most until the buyer waits, holds_wait_seconds after the last of them. */

alter table buyer_seats add column unpaid_holds smallint not null default 0 check (unpaid_holds >= 0),
    add column unpaid_at timestamptz;

alter table organisations
    add column holds_free smallint not null default 3 check (holds_free between 0 and 100),
    add column holds_most smallint not null default 6 check (holds_most between 1 and 100),
    add column holds_wait_seconds integer not null default 900
        check (holds_wait_seconds between 0 and 86400);
