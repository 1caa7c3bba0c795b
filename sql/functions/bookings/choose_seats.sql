/* Chooses free seats for a batch of entries, strictly in their order: entry i is decided before i + 1.
   It only reads. The caller locks the chosen seats; if another transaction was faster, it calls again with
   those seats in p_avoid.

   p_quantity, p_category (0: any), p_together, p_accessible: one element per entry.
   p_named_entry, p_named_seat: the seats asked for by name, as pairs (entry, seat) in that order.
   Returns the pairs (entry, seat) that were chosen, and the entries that cannot be met now.

   Consecutive seat integers are neighbours (db/catalogue/seating.py), so a run of free seats is a run of
   integers. The runs of a category form a linked list, best first, that ends in an empty run. A run never
   grows, so one pointer per category and size, which only moves forward, finds a run in constant time:
   roomy skips runs in which a single seat would be left, fitting takes any run that holds the group. Runs
   are loaded in pieces, as far as the batch needs them. owner is used only if seats are also taken by name
   or as accessible seats; a run is cut at such a seat when the walk reaches it. */
create or replace function choose_seats(
    p_event bigint, p_quantity integer[], p_category integer[], p_together boolean[],
    p_accessible integer[], p_named_entry integer[], p_named_seat integer[], p_avoid integer[],
    out entry integer[], out seat integer[], out failed integer[])
language plpgsql
set jit = off set enable_seqscan = off set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    sizes constant integer := 64;
    categories integer := (select max(category) from event_categories where event_id = p_event);
    lo integer[]; hi integer[]; middle integer[];  -- runs: first seat, last, centre offset of the first
    nxt integer[];                                 -- runs: the next of the category; 0 in the empty last
    runs integer := categories;
    tail integer[];                                -- by category: the empty run that ends the list
    loaded integer[];                              -- by category: the last seat read; null: all
    vacant integer[];                              -- by category: seats loaded and not taken
    demand integer[];                              -- by category: how many seats to read next
    roomy integer[]; fitting integer[];            -- by category * sizes + size: a run
    owner integer[];                               -- by seat: the entry that took it, -1: not free
    picked integer[];                              -- seats by name or accessible, of this entry
    named integer := 1;                            -- the next of p_named_entry
    named_in integer[];                            -- by p_named_seat: its category; null: it is kept
    taken integer[];                               -- of p_named_seat: those that are not free
    chosen integer := 0;
    before integer; rest integer; size integer; found boolean;
    c integer; k integer; r integer; s integer; len integer; skip integer;
    part record;
begin
    entry := '{}'; seat := '{}'; failed := '{}';
    -- Wishes for any category are shared out. What turns out to be too little is read later, twice as much.
    select array_agg(greatest(64, (d.seats * 5 / 4)::integer) order by g) into demand
    from generate_series(1, categories) g
    left join lateral (select sum(case q.category when g then q.quantity else q.quantity / categories::real end)
        as seats from unnest(p_quantity, p_category)
        q(quantity, category) where q.category in (0, g)) d on true;
    lo := array_fill(1, array[categories]);
    hi := array_fill(0, array[categories]);
    middle := hi; nxt := hi; loaded := hi; vacant := hi;
    tail := array(select generate_series(1, categories));
    roomy := array(select greatest(g / sizes, 1) from generate_series(1, categories * sizes + sizes) g);
    fitting := roomy;
    -- Runs consist of free seats, so only named seats have to be checked; accessible ones are searched for.
    if cardinality(p_named_seat) > 0 then
        select array_agg(case when not t.kept then t.category end order by n.position),
            coalesce(array_agg(n.seat) filter (where n.seat = any (p_avoid)
                or (t.state = 'free' and t.allocation is null) is not true), '{}')
        into named_in, taken
        from unnest(p_named_seat) with ordinality n(seat, position)
        left join seats t on t.event_id = p_event and t.seat = n.seat;
    end if;
    if cardinality(p_named_seat) > 0 and not 0 < any (p_accessible) then
        owner := array_fill(0, array[(select max(t.seat) from seats t where t.event_id = p_event)]);
        foreach s in array taken loop
            owner[s] := -1;
        end loop;
    elsif 0 < any (p_accessible) then
        owner := array_fill(-1, array[(select max(t.seat) from seats t where t.event_id = p_event)]);
        for s in
            select t.seat from seats t
            where t.event_id = p_event and t.state = 'free' and t.allocation is null
                and t.seat <> all (p_avoid)
        loop
            owner[s] := 0;
        end loop;
    end if;

    <<entries>>
    for i in 1 .. cardinality(p_quantity) loop
        rest := p_quantity[i];
        before := chosen;
        picked := null;
        if p_named_entry[named] = i then
            named := named + rest;
            for j in named - rest .. named - 1 loop
                if owner[p_named_seat[j]] <> 0 then
                    failed := failed || i;
                    continue entries;
                end if;
            end loop;
            for j in named - rest .. named - 1 loop
                s := p_named_seat[j]; c := named_in[j];
                chosen := chosen + 1;
                entry[chosen] := i; seat[chosen] := s; owner[s] := i;
                if c > 0 and (loaded[c] is null or s <= loaded[c]) then
                    vacant[c] := vacant[c] - 1;
                end if;
            end loop;
            continue entries;
        elsif p_accessible[i] > 0 then
            picked := choose_accessible(p_event, rest, p_category[i], p_together[i], p_accessible[i],
                owner);
            if picked is null then
                failed := failed || i;
                continue entries;
            end if;
        end if;
        if picked is not null then
            foreach s in array picked loop
                chosen := chosen + 1;
                entry[chosen] := i; seat[chosen] := s; owner[s] := i;
            end loop;
            for part in
                select t.category, count(*)::integer as seats from seats t
                where t.event_id = p_event and t.seat = any (picked) and not t.kept
                    and (loaded[t.category] is null or t.seat <= loaded[t.category])
                group by 1
            loop
                vacant[part.category] := vacant[part.category] - part.seats;
            end loop;
            rest := rest - cardinality(picked);
        end if;

        size := rest;
        while rest > 0 loop
            found := false;
            c := greatest(p_category[i], 1);
            <<search>>
            while not found and c <= case p_category[i] when 0 then categories else c end loop
                k := c * sizes + size;
                r := roomy[k];
                while nxt[r] <> 0 loop
                    len := hi[r] - lo[r] + 1;
                    exit when len = size or len > size + 1;
                    r := nxt[r];
                end loop;
                roomy[k] := r;
                if nxt[r] = 0 and loaded[c] is null then
                    r := fitting[k];
                    while nxt[r] <> 0 and hi[r] - lo[r] + 1 < size loop
                        r := nxt[r];
                    end loop;
                    fitting[k] := r;
                    if nxt[r] = 0 then
                        exit search when p_category[i] <> 0;
                        c := c + 1;
                        continue search;
                    end if;
                elsif nxt[r] = 0 then
                    for part in select * from free_runs(p_event, c, loaded[c], demand[c], p_avoid) loop
                        loaded[c] := part.looked_at;
                        exit when part.first is null;
                        len := part.last - part.first + 1;
                        if owner is not null then
                            for g in part.first .. part.last loop
                                if owner[g] <> 0 then
                                    len := len - 1;
                                end if;
                            end loop;
                        end if;
                        vacant[c] := vacant[c] + len;
                        -- The empty run becomes this one, and a new empty run ends the list.
                        r := tail[c];
                        lo[r] := part.first; hi[r] := part.last; middle[r] := part.middle;
                        runs := runs + 1;
                        lo[runs] := 1; hi[runs] := 0; middle[runs] := 0; nxt[runs] := 0;
                        nxt[r] := runs; tail[c] := runs;
                    end loop;
                    demand[c] := demand[c] * 2;
                    continue search;
                end if;

                -- As near to the row's middle as the run allows, and without a single seat at either end. A
                -- run that divides into groups of this size still does so afterwards.
                len := hi[r] - lo[r] + 1 - size;
                skip := least(greatest(-middle[r] - (size - 1) / 2, 0), len);
                if len % size = 0 then
                    skip := skip / size * size;
                end if;
                if skip = 1 or len - skip = 1 then
                    skip := case when skip * 2 <= len then 0 else len end;
                end if;
                if owner is not null then
                    for s in lo[r] + skip .. lo[r] + skip + size - 1 loop
                        if owner[s] <> 0 then
                            runs := runs + 1;
                            lo[runs] := s + 1; hi[runs] := hi[r]; middle[runs] := middle[r] + s + 1 - lo[r];
                            nxt[runs] := nxt[r];
                            hi[r] := s - 1; nxt[r] := runs;
                            continue search;
                        end if;
                    end loop;
                end if;
                for s in lo[r] + skip .. lo[r] + skip + size - 1 loop
                    chosen := chosen + 1;
                    entry[chosen] := i; seat[chosen] := s;
                    if owner is not null then
                        owner[s] := i;
                    end if;
                end loop;
                if skip = 0 then
                    lo[r] := lo[r] + size; middle[r] := middle[r] + size;
                else
                    if skip < len then
                        runs := runs + 1;
                        lo[runs] := lo[r] + skip + size; hi[runs] := hi[r];
                        middle[runs] := middle[r] + skip + size; nxt[runs] := nxt[r];
                        nxt[r] := runs;
                    end if;
                    hi[r] := lo[r] + skip - 1;
                end if;
                vacant[c] := vacant[c] - size;
                found := true;
            end loop;

            if found then
                rest := rest - size;
                size := rest;
            elsif not p_together[i] and size > 1 and rest <= (
                    select sum(vacant[g]) from generate_series(1, categories) g
                    where p_category[i] in (0, g)) then
                size := size - 1;
            else
                for j in before + 1 .. chosen loop
                    owner[seat[j]] := 0;
                end loop;
                chosen := before;
                failed := failed || i;
                continue entries;
            end if;
        end loop;
    end loop;
    entry := entry[1 : chosen];
    seat := seat[1 : chosen];
end $$;
