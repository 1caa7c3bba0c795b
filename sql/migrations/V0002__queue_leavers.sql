/* Entries that ended without a booking, counted by block of numbers: block b of a level holds the
   numbers from b * width + 1 to (b + 1) * width, width being 32 * 8 ^ level. So whoever is far back
   reads a few wide blocks, and the cost does not grow with the queue. A block's count is the sum of
   its slots: whoever counts takes one that nobody else is changing, and never waits. */
create table queue_leavers (
    event_id bigint not null,
    level smallint not null check (level between 0 and 4),
    block bigint not null check (block >= 0),
    slot bigint not null generated always as identity,
    leavers integer not null check (leavers > 0),
    primary key (event_id, level, block, slot)
) with (fillfactor = 50);
