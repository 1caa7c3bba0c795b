/* Fixes the list of a lobby that has closed, with its hash: sha256 of the sorted account ids, each followed
   by a line feed. It is due p_patience after the end: joins that began in time can commit until then, so
   that every entry with the state 'lobby' is on the list. False: it is not due, or is done already, or
   another transaction is doing it. */
create or replace function close_lobby(p_event bigint, p_patience interval default '2 s')
returns boolean language plpgsql set jit = off as $$
begin
    perform from draws d join events e on e.id = d.event_id
    where d.event_id = p_event and d.closed_at is null
        and e.lobby_closes_at + p_patience <= clock_timestamp()
    for update of d skip locked;
    if not found then
        return false;
    end if;
    update draws
    set closed_at = clock_timestamp(), accounts = l.accounts, lobby_numbers = l.numbers,
        list_sha256 = sha256(convert_to(l.lines, 'UTF8')), list_count = cardinality(l.accounts)
    from (select coalesce(array_agg(buyer_id), '{}') as accounts,
              coalesce(array_agg(number), '{}') as numbers,
              coalesce(string_agg(buyer_id || E'\n', ''), '') as lines
          from (select buyer_id, number from entries
                where event_id = p_event and state = 'lobby' order by buyer_id) e) l
    where event_id = p_event;
    return true;
end $$;
