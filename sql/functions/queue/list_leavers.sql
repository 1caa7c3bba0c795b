/* Who left of the numbers after p_served, by block: [[from, to, leavers], ...], blocks without any left
   out. Blocks widen with the distance: at most 16 of each of five widths, however deep the queue;
   leavers beyond (two million numbers) are left out, which overstates how many are ahead. */
create or replace function list_leavers(p_event bigint, p_served bigint, p_last bigint)
returns bigint[][] language plpgsql stable set jit = off as $$
declare
    width bigint := 32;
    first bigint := p_served - p_served % 32;  -- counted from 0, as blocks are
    stop bigint;
    found_here bigint[][];
    result bigint[][] := '{}';
begin
    for wanted in 0 .. 4 loop
        exit when first >= p_last;
        stop := (first / (8 * width) + 2) * 8 * width;
        select array_agg(array[b.block * width + 1, (b.block + 1) * width, b.leavers] order by b.block)
        into found_here
        from (select block, sum(leavers) as leavers from queue_leavers
              where event_id = p_event and level = wanted
                  and block >= first / width and block < stop / width
              group by block) b;
        result := result || coalesce(found_here, '{}');
        first := stop;
        width := 8 * width;
    end loop;
    return result;
end $$;
