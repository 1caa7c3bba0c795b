/* Joins the queue of an event in any case, or says why not. outcome: 'joined' or 'replayed' (same key, same
   request); 'no_event', 'in_flight', 'key_reused', 'already_waiting' (with the entry), 'not_open', 'over',
   'over_cap', 'terms', or another reason of check_wish (with the total, if that is why). Then nothing is
   stored. The lane is not locked. Seats are named under the lock of the sale, since their numbers change with
   the plan version (move_event); p_version: the one that the buyer has seen. Numbers come from the event's own sequence; in a lobby they are negative
   until the draw. */
create or replace function join_checked(
    p_event bigint, p_buyer bigint, p_key text, p_sha256 bytea, p_quantity integer,
    p_category integer, p_together boolean, p_accessible integer, p_guids text[],
    p_accept_terms boolean, p_admission boolean, p_expected bigint, p_version bigint default null,
    out outcome text, out id uuid, out number bigint, out state text, out joined_at timestamptz,
    out total bigint)
language plpgsql set jit = off as $$
#variable_conflict use_column
declare
    show events;
    mine entries;
    wanted integer[];
begin
    if p_guids is not null then
        perform lock_sale(p_event, false);
    end if;
    select * into show from events where id = p_event and state <> 'draft';
    if not found then
        outcome := 'no_event'; return;
    end if;
    -- A second request with the same key is refused at once while the first is in flight. A plain insert
    -- would wait for the first, and keep its connection meanwhile.
    if not pg_try_advisory_xact_lock(hashtextextended(p_key, hashint8extended(p_buyer, p_event))) then
        outcome := 'in_flight'; return;
    end if;
    select * into mine from entries
    where event_id = p_event and buyer_id = p_buyer and idempotency_key = p_key;
    if found then
        outcome := case when mine.request_sha256 = p_sha256 then 'replayed' else 'key_reused' end;
        id := mine.id; number := mine.number; state := mine.state; joined_at := mine.joined_at;
        return;
    end if;
    select w.outcome, w.seats, w.total into outcome, wanted, total
    from check_wish(show, coalesce(show.lobby_opens_at, show.on_sale_at), p_buyer, p_quantity,
        p_category, p_accessible, p_guids, p_accept_terms, p_expected, false, p_version) w;
    if outcome is not null then
        return;
    end if;
    insert into entries (event_id, number, state, organisation_id, buyer_id, quantity, category,
        together, accessible, seats, admission, expected_total, idempotency_key, request_sha256,
        terms_accepted_at)
    select p_event, place.number, place.state, show.organisation_id, p_buyer, p_quantity, p_category,
        p_together, p_accessible, wanted, p_admission, p_expected, p_key, p_sha256,
        case when p_accept_terms then clock_timestamp() end
    from take_number(show) place
    where not exists (  -- who waits already takes no number
        select from entries where event_id = p_event and buyer_id = p_buyer and entry_is_active(state))
    on conflict (event_id, buyer_id) where entry_is_active(state)
        do nothing
    returning * into mine;
    outcome := 'joined';
    if not found then
        select * into mine from entries where event_id = p_event and buyer_id = p_buyer
            and entry_is_active(state);
        outcome := 'already_waiting';
    end if;
    id := mine.id; number := mine.number; state := mine.state; joined_at := mine.joined_at;
end $$;
