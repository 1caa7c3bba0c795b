/* Draws a lobby whose list is fixed: its entries get the numbers 1..N in the order of HMAC-SHA256(seed,
   account id as decimal text), seed = sha256(secret || public value). An entry that has left since leaves
   a gap, so that the order follows from the published list. The lane can be served from then on.
   Returns N; null: the list is not fixed, the public value is missing, or the lobby was drawn before. */
create or replace function draw_lobby(p_event bigint) returns integer
language plpgsql set jit = off as $$
declare
    draw draws;
    new_seed bytea;
    inner_block bytea;
    outer_block bytea;
    places bigint[];  -- lobby numbers, in the order of the draw
begin
    select * into draw from draws
    where event_id = p_event and closed_at is not null and drawn_at is null
        and (public_source is null or public_value is not null)
    for update skip locked;
    if not found then
        return null;
    end if;
    new_seed := sha256(draw.secret || convert_to(coalesce(draw.public_value, ''), 'UTF8'));
    inner_block := hmac_block(new_seed, 54);
    outer_block := hmac_block(new_seed, 92);
    select coalesce(array_agg(account), '{}'), coalesce(array_agg(place), '{}')
    into draw.drawn, places
    from (select account, place from unnest(draw.accounts, draw.lobby_numbers) l(account, place)
          order by hmac_sha256(inner_block, outer_block, convert_to(account::text, 'UTF8')), account) o;

    -- A number of the tail can be in the way only if the server's clock was set back.
    update entries e set number = t.number
    from (select id, nextval(format('entry_numbers_%s', p_event)) as number
          from (select id from entries where event_id = p_event and number between 1 and draw.list_count
                order by number for update) l) t
    where e.event_id = p_event and e.id = t.id;
    update entries e set state = 'waiting', number = o.number
    from unnest(places) with ordinality o(place, number)
    where e.event_id = p_event and e.number = o.place and e.state = 'lobby';

    update draws set seed = new_seed, drawn = draw.drawn, drawn_at = clock_timestamp()
    where event_id = p_event;
    return draw.list_count;
end $$;
