/* Returns runs of free seats of a category after p_after, in seat order, without kept seats. It reads
   p_limit seats; a last run that may continue is left for the next call. looked_at: the p_after of the next
   call; null: there are no more seats. One row with first null: no run was found. middle: the centre
   offset of the first seat. */
create or replace function free_runs(
    p_event bigint, p_category integer, p_after integer, p_limit integer, p_avoid integer[])
returns table (first integer, last integer, middle integer, looked_at integer)
language plpgsql set jit = off set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    final_run integer;
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
        select count(*) = p_limit as full_page, max(seat) as last_seat from near
    ), kept as (
        select i.*, max(i.first) over () as newest, count(*) over () as n from islands i
    )
    select k.first, k.last, k.middle,
        case when e.full_page and k.n > 1 then k.newest - 1
             when e.full_page then e.last_seat end
    from edge e left join kept k on not (e.full_page and k.n > 1 and k.first = k.newest)
    order by k.first;
end $$;
