create or replace trigger entries_moves after update on entries
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('entry', 'unlogged');

/* Adds leavers to the counts of blocks of 32 numbers, and of the wider blocks around them. Each block has
   several counters; one that another transaction is changing is skipped, so that counting never waits for a
   transaction that has locked other entries. */
create or replace function add_leavers(p_event bigint, p_blocks bigint[], p_leavers bigint[])
returns void language sql
set jit = off set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off
set enable_seqscan = off as $$
    with counts as (
        select level, block >> (3 * level) as block, sum(leavers)::integer as leavers
        from unnest(p_blocks, p_leavers) b(block, leavers) cross join generate_series(0, 4) level
        group by level, block >> (3 * level)
    ), chosen as (
        select c.*, s.slot
        from counts c
        left join lateral (
            select q.slot from queue_leavers q
            where q.event_id = p_event and q.level = c.level and q.block = c.block
            limit 1 for update skip locked) s on true
    ), added as (
        update queue_leavers q set leavers = q.leavers + c.leavers
        from chosen c
        where q.event_id = p_event and q.level = c.level and q.block = c.block and q.slot = c.slot
    )
    insert into queue_leavers (event_id, level, block, leavers)
    select p_event, level, block, leavers from chosen where slot is null
$$;

/* Counts entries that end without a booking in queue_leavers. Entries of a lobby have no number yet and do
   not count. */
create or replace function count_leavers() returns trigger language plpgsql
set enable_nestloop = off set enable_hashjoin = on set jit = off as $$
begin
    if not exists (select from new_rows where state in ('left', 'lapsed', 'unavailable')) then
        return null;
    end if;
    perform add_leavers(g.event_id, array_agg(g.block), array_agg(g.leavers))
    from (
        select n.event_id, (n.number - 1) / 32 as block, count(*) as leavers
        from new_rows n join old_rows o on o.id = n.id
        where n.state in ('left', 'lapsed', 'unavailable')
            and o.state in ('waiting', 'standby', 'admitted')
        group by n.event_id, (n.number - 1) / 32) g
    group by g.event_id;
    return null;
end $$;

create or replace trigger entries_leavers after update on entries
    referencing old table as old_rows new table as new_rows
    for each statement execute function count_leavers();

/* Notes for the feed entries that were decided without a booking, or got another number; a booking says of its
   entry that it was booked. A note has 1,000 entries at most. */
create or replace function note_entries() returns trigger language plpgsql
set enable_nestloop = off set enable_hashjoin = on set jit = off as $$
begin
    if exists (select from new_rows where state <> 'booked') then
        insert into feed_notes (event_id, noun, state, ids)
        select m.event_id, 'entry', m.news, array_agg(m.id order by m.place)
        from (
            select n.event_id, n.id, row_number() over (order by n.number) as place,
                case when n.state = o.state or o.state = 'lobby' and n.state = 'waiting' then 'numbered'
                    else n.state end as news
            from new_rows n join old_rows o on o.id = n.id
            where n.state <> 'booked' and (n.state <> o.state or n.number <> o.number)) m
        group by m.event_id, m.news, (m.place - 1) / 1000;
    end if;
    return null;
end $$;

create or replace trigger entries_noted after update on entries
    referencing old table as old_rows new table as new_rows
    for each statement execute function note_entries();
