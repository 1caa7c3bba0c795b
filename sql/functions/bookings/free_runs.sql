/* Returns runs of free seats of a category after p_after, in seat order, without kept seats. It reads
   p_limit seats; a last run that may continue is left for the next call, unless it is all of them.
   looked_at: the p_after of the next call; null: there are no more seats. One row with first null: no run
   was found. middle: the centre offset of the first seat. */
create or replace function free_runs(
    p_event bigint, p_category integer, p_after integer, p_limit integer, p_avoid integer[])
returns table (first integer, last integer, middle integer, looked_at integer)
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    return query
    with near as materialized (
        select s.seat, s.centre from seats s
        where s.event_id = p_event and s.category = p_category and not s.kept
            and s.state = 'free' and s.allocation is null and s.seat > p_after
        order by s.seat limit p_limit
    ), islands as materialized (
        select min(n.seat) as first, max(n.seat) as last, min(n.centre) as middle
        from (select seat, centre, seat - row_number() over (order by seat) as island
              from near where seat <> all (p_avoid)) n
        group by n.island
    ), edge as (
        select count(*) = p_limit as full_page, min(seat) as first_seat, max(seat) as last_seat from near
    ), open_run as (
        select max(i.first) as first from islands i, edge e where e.full_page
        having max(i.first) > min(e.first_seat)
    )
    select i.first, i.last, i.middle, coalesce(o.first - 1, case when e.full_page then e.last_seat end)
    from edge e left join open_run o on true left join islands i on i.first is distinct from o.first
    order by i.first;
end $$;
