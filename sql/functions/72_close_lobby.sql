/* Fixes the list of a lobby that has closed, with its hash: sha256 of the sorted account ids, each
   followed by a line feed. Done p_patience after the end, in which joins that began in time may commit,
   so that whoever was told "lobby" is on the list. False: not due, done already, or being done. */
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

/* What was published stays as it was. */
create or replace function keep_draw() returns trigger language plpgsql as $$
begin
    if new.secret <> old.secret
        or old.drawn_at is not null
        or old.closed_at is not null and row(new.public_source, new.committed_at, new.closed_at, new.accounts,
                new.lobby_numbers, new.list_sha256)
            is distinct from row(old.public_source, old.committed_at, old.closed_at, old.accounts,
                old.lobby_numbers, old.list_sha256)
        or old.public_value <> coalesce(new.public_value, '') then
        raise check_violation using message =
            format('event %s: what was published of a draw is not changed', old.event_id);
    end if;
    return new;
end $$;

create or replace trigger draws_keep_what_was_published before update on draws
    for each row execute function keep_draw();

/* Whoever committed as 'lobby' after the list was fixed goes to the tail, in the order of joining. */
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
