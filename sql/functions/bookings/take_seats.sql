/* Chooses seats for a batch of entries, in their order, and locks them. If another transaction was faster,
   it chooses again without those seats. The caller has locked the entries. One element per entry: see
   choose_seats. Returns for each seat, in seat order, the position in p_ids of the entry that gets it, and
   the seat's category; the positions of entries that cannot be met now; and whether another transaction
   was faster. */
create or replace function take_seats(
    p_event bigint, p_ids uuid[], p_quantities integer[], p_wanted integer[], p_together boolean[],
    p_accessible integer[],
    out owners integer[], out held integer[], out held_category integer[], out failed integer[],
    out raced boolean)
language plpgsql
set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    named_entry integer[]; named_seat integer[];
    picked record;
    wished integer[];
    avoid integer[] := '{}';
begin
    raced := false;
    if cardinality(p_ids) = 0 then
        return;
    end if;
    select coalesce(array_agg(e.n order by e.n, s.seat), '{}'),
        coalesce(array_agg(s.seat order by e.n, s.seat), '{}')
    into named_entry, named_seat
    from unnest(p_ids) with ordinality e(id, n)
    join entries q on q.event_id = p_event and q.id = e.id and q.id = any ((select p_ids)::uuid[]) and q.seats is not null
    cross join unnest(q.seats) s(seat);
    loop
        picked := choose_seats(p_event, p_quantities, p_wanted, p_together, p_accessible, named_entry,
            named_seat, avoid);
        select array_agg(p.entry order by p.seat), array_agg(p.seat order by p.seat)
        into owners, wished from unnest(picked.entry, picked.seat) p(entry, seat);
        select array_agg(l.seat), array_agg(l.category::integer) into held, held_category
        from (select seat, category from seats
              where event_id = p_event and seat = any ((select wished)::integer[]) and state = 'free'
              order by seat for update skip locked) l;
        exit when coalesce(cardinality(held), 0) = cardinality(picked.seat);
        avoid := avoid || array(select unnest(wished) except select unnest(held));
    end loop;
    failed := picked.failed;
    raced := cardinality(avoid) > 0;
end $$;
