/* Holds of which half of the time was over when the clock looked: their buyers were reminded, if they had not
   begun to pay. A table of its own, because a hold that is paid in time is never written here. deadline: the
   hold's, so that the row can be deleted later. */
create table reminded_holds (
    event_id bigint not null,
    booking_id uuid not null,
    deadline timestamptz not null,
    primary key (event_id, booking_id)
);
create index reminded_holds_deadline on reminded_holds (deadline);

/* The clock finds the holds that tasks waited for. A worker that has one of these finds it gone, and writes
   no mail. */
delete from outbox where actor = 'remind';
update dead_letters
set resolved_at = clock_timestamp(), resolution = 'discarded: the clock reminds buyers'
where actor = 'remind' and resolved_at is null;
