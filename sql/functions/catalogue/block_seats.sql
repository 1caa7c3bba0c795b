/* Blocks seats of an event for an organiser, or unblocks them (p_block false): all or none. Seats that
   are in that state already stay in it. p_scope: the caller's organisation; null: all organisations.
   outcome: 'done', 'no_event', 'not_opened', 'unknown_seat' (guids: the unknown ones) or 'taken' (guids:
   the seats that are held or sold). Unblocking wakes the lane: an entry may be waiting for the seats. */
create or replace function block_seats(
    p_event bigint, p_scope bigint, p_guids text[], p_block boolean,
    out outcome text, out guids text[])
language plpgsql as $$
declare
    show events;
    numbers integer[];
    changed integer;
begin
    perform lock_sale(p_event, false);  -- the plan version stays, and with it the numbers
    select * into show from events
    where id = p_event and (p_scope is null or organisation_id = p_scope);
    if not found then
        outcome := 'no_event'; return;
    elsif show.state = 'draft' then
        outcome := 'not_opened'; return;
    end if;
    select array_agg(p.seat), array_agg(g.guid) filter (where p.seat is null)
    into numbers, guids
    from unnest(p_guids) g(guid)
    left join plan_seats p on p.plan_version_id = show.plan_version_id and p.guid = g.guid;
    if guids is not null then
        outcome := 'unknown_seat'; return;
    end if;
    perform from seats where event_id = p_event and seat = any (numbers) order by seat for update;
    select array_agg(p.guid order by s.seat) into guids
    from seats s join plan_seats p on p.plan_version_id = show.plan_version_id and p.seat = s.seat
    where s.event_id = p_event and s.seat = any (numbers) and s.state in ('held', 'sold');
    if guids is not null then
        outcome := 'taken'; return;
    end if;
    update seats set state = case when p_block then 'blocked' else 'free' end
    where event_id = p_event and seat = any (numbers)
        and state = case when p_block then 'free' else 'blocked' end;
    get diagnostics changed = row_count;
    if changed > 0 then
        perform audit(case when p_block then 'seats blocked' else 'seats unblocked' end, p_event,
            jsonb_build_object('changed', changed, 'seats', p_guids));
        insert into lane_wakes (event_id) values (p_event);
        insert into feed_notes (event_id, noun, state, guids)
        values (p_event, 'seats', case when p_block then 'blocked' else 'free' end, p_guids);
    end if;
    outcome := 'done';
end $$;
