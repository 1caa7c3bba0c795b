/* Takes all steps of a lobby that are due, in any state: tells its entries that the sale has ended, fixes
   the list, draws, and moves latecomers to the tail. */
create or replace function tend_lobby(
    p_event bigint, out ended integer, out closed boolean, out drawn integer, out late integer)
language plpgsql as $$
begin
    update entries set state = 'unavailable', decided_at = clock_timestamp(), reason = 'sale_over'
    where event_id = p_event and state = 'lobby' and exists (
        select from events e where e.id = p_event
            and (e.state <> 'on_sale' or clock_timestamp() >= e.off_sale_at));
    get diagnostics ended = row_count;
    closed := close_lobby(p_event);
    drawn := draw_lobby(p_event);
    late := move_latecomers(p_event);
end $$;
