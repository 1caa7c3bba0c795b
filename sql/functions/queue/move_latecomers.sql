/* Moves entries that were committed as 'lobby' after the list was fixed to the tail, in the order in which
   they joined. */
create or replace function move_latecomers(p_event bigint) returns integer
language plpgsql set jit = off as $$
declare
    moved integer;
begin
    update entries e set state = 'waiting', number = t.number
    from (select id, nextval(format('entry_numbers_%s', p_event)) as number
          from (select id from entries
                where event_id = p_event and state = 'lobby'
                    and exists (select from draws where event_id = p_event and closed_at is not null)
                    and number not in (
                        select unnest(lobby_numbers) from draws where event_id = p_event)
                order by number desc for update) l) t
    where e.event_id = p_event and e.id = t.id;
    get diagnostics moved = row_count;
    return moved;
end $$;
