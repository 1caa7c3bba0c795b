/* Postponements: the date or the place of an event was changed after it was opened. Buyers of bookings from
   before may give them back until give_back_until; another postponement replaces the last one. number: from
   1 in each event. requested_at is read while no hold is being made, so a booking that was made with the old
   date has an earlier created_at. old_*, new_*: what the event said before and after.
   told_to: the last booking that was looked at; finished_at: when the mails of all were written. */
create table postponements (
    event_id bigint not null references events,
    number smallint not null check (number > 0),
    reason text not null check (length(reason) <= 500),
    give_back_until timestamptz not null,
    old_starts_at timestamptz not null,
    new_starts_at timestamptz not null,
    old_time_zone text not null,
    new_time_zone text not null,
    old_venue_id bigint not null references venues,
    new_venue_id bigint not null references venues,
    requested_by text not null,
    requested_at timestamptz not null default clock_timestamp(),
    told_to uuid,
    finished_at timestamptz,
    primary key (event_id, number),
    constraint postponements_give_back check (
        give_back_until > requested_at and give_back_until <= new_starts_at),
    constraint postponements_change check ((old_starts_at, old_time_zone, old_venue_id)
        is distinct from (new_starts_at, new_time_zone, new_venue_id))
);

/* postponement: the number of the one that a mail tells of; at most one mail for each booking and number. */
alter table emails
    add column postponement smallint,
    add constraint emails_postponed check ((template = 'postponed') = (postponement is not null));
drop index emails_one_per_booking;
create unique index emails_one_per_booking on emails (event_id, booking_id, template)
    where refund_id is null and postponement is null;
create unique index emails_one_per_postponement on emails (event_id, postponement, booking_id)
    where postponement is not null;

/* given_back: by the buyer, because the event was postponed. */
alter table refunds drop constraint refunds_cause_check, add constraint refunds_cause_check check (
    cause in ('asked', 'event_cancelled', 'given_back', 'odd_money', 'dashboard'));
