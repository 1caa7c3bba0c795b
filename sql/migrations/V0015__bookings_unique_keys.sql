/* Unique keys other than the primary key begin with another column than the event. While the statistics say
   that there are few bookings, the planner finds any index that begins with the event as good as the primary
   key, and then reads all bookings of the event for each seat of a sale's first batches. */

alter table bookings
    drop constraint bookings_event_id_code_key,
    drop constraint bookings_one_per_entry,
    add constraint bookings_code_key unique (code, event_id),
    add constraint bookings_one_per_entry unique (entry_id, event_id);
