/* Lists the leavers with numbers after p_served, by block: [[from, to, leavers], ...], without empty blocks.
   Blocks are wider at a greater distance: there are five widths, at most 16 blocks of each, for a queue of
   any length. Leavers beyond two million numbers are left out, so a place may then seem further back. */
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
