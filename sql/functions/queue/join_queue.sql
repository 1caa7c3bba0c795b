/* Joins the queue of an event, as the only statement of its transaction. outcome: 'joined' (new) or
   'replayed' (same key, same request), with the entry's id, number and state; or why not: a reason of
   join_checked.
   The usual case comes first, in one statement: on sale, no seats named, no total expected, and a buyer who
   has neither asked before nor had seats. It is what join_checked would do, and all else is left to
   it. Nothing is set for this function: setting and resetting take a tenth of its time. */
create or replace function join_queue(
    p_event bigint, p_buyer bigint, p_key text, p_sha256 bytea, p_quantity integer,
    p_category integer, p_together boolean, p_accessible integer, p_guids text[],
    p_accept_terms boolean, p_admission boolean default false,
    p_expected bigint default null,
    out outcome text, out id uuid, out number bigint, out state text, out joined_at timestamptz,
    out total bigint)
language plpgsql as $$
#variable_conflict use_column
begin
    if p_guids is null and p_expected is null and p_accessible = 0
            and pg_try_advisory_xact_lock(hashtextextended(p_key, hashint8extended(p_buyer, p_event))) then
        insert into entries (event_id, number, state, organisation_id, buyer_id, quantity, category,
            together, accessible, admission, idempotency_key, request_sha256, terms_accepted_at)
        select p_event, nextval(format('entry_numbers_%s', p_event)::regclass), 'waiting',
            e.organisation_id, p_buyer, p_quantity, p_category, p_together, 0, p_admission, p_key,
            p_sha256, case when p_accept_terms then clock_timestamp() end
        from events e
        where e.id = p_event and e.state = 'on_sale' and clock_timestamp() >= e.on_sale_at
            and clock_timestamp() < e.off_sale_at
            and (e.lobby_closes_at is null or clock_timestamp() >= e.lobby_closes_at)
            and (e.terms = '' or p_accept_terms) and p_quantity <= e.seats_per_buyer
            and not exists (select from entries q where q.event_id = p_event and q.buyer_id = p_buyer)
            and not exists (select from buyer_seats b where b.event_id = p_event
                and b.buyer_id = p_buyer)
            and (p_category is null or exists (select from event_categories c
                where c.event_id = p_event and c.category = p_category))
        on conflict (event_id, buyer_id) where entry_is_active(state)
            do nothing
        returning entries.id, entries.number, entries.state, entries.joined_at
        into id, number, state, joined_at;
        if found then
            outcome := 'joined'; return;
        end if;
    end if;
    select c.* into outcome, id, number, state, joined_at, total
    from join_checked(p_event, p_buyer, p_key, p_sha256, p_quantity, p_category, p_together,
        p_accessible, p_guids, p_accept_terms, p_admission, p_expected) c;
end $$;
