/* What an import understood of a plan, how its rows are printed, and which kinds of seats a category has.
   Kept seats may be released before the start. Seats of an event get other numbers when it is moved to
   another version of its plan; tickets and refunds follow. */

alter table plan_versions add column report jsonb not null default '{}';

/* printed_row: how the row is printed, if the plan says it, as in "Table 7". */
alter table plan_seats add column printed_row text not null default '';

/* ordinary_seats: those that are neither for wheelchairs nor for companions. */
alter table plan_categories add column ordinary_seats integer not null default 0;
update plan_categories c set ordinary_seats = n.ordinary
from (select plan_version_id, category, count(*) as ordinary
      from plan_seats where not accessible and not companion group by 1, 2) n
where c.plan_version_id = n.plan_version_id and c.category = n.category;

/* accessible_release_seconds: how long before the start kept seats are released; null: never.
   accessible_released_at: when they were. */
alter table events
    add column accessible_release_seconds integer check (accessible_release_seconds between 0 and 31536000),
    add column accessible_released_at timestamptz;
create index events_to_release on events (starts_at)
    where accessible_release_seconds is not null and accessible_released_at is null;

alter table seats drop constraint seats_check;
create index seats_accessible on seats (event_id, seat) where accessible;

alter table tickets drop constraint tickets_event_id_booking_id_seat_fkey,
    add constraint tickets_event_id_booking_id_seat_fkey
        foreign key (event_id, booking_id, seat) references booking_items on update cascade;
alter table refund_items drop constraint refund_items_event_id_booking_id_seat_fkey,
    add constraint refund_items_event_id_booking_id_seat_fkey
        foreign key (event_id, booking_id, seat) references booking_items on update cascade;
