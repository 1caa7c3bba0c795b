/* Moves a batch of bookings or entries of an old event into its archive; when none is left, the rest of the
   event. moved: how many; done: the whole event is archived; why: it cannot be archived now. It takes the
   locks before it looks for open business: a transaction with new business for a booking waits for them,
   and then finds the booking in the archive. */
create or replace function archive_piece(
    p_event bigint, p_retention interval, p_limit integer,
    out moved integer, out done boolean, out why text)
language plpgsql as $$
declare
    month constant date := begin_archive(p_event, p_retention);
    ids uuid[];
begin
    moved := 0; done := month is null;
    if done then
        return;
    end if;
    ids := array(select id from bookings where event_id = p_event order by id limit p_limit for update);
    perform from payments where event_id = p_event and booking_id = any (ids) order by id for update;
    why := open_business(p_event);
    if why is not null then
        return;
    end if;
    if ids <> '{}' then
        perform archive_bookings(p_event, month, ids);
        moved := cardinality(ids);
    else
        moved := archive_entries(p_event, month, p_limit);
    end if;
    if moved = 0 then
        perform archive_rest(p_event, month);
        done := true;
    end if;
end $$;

/* Begins to archive an event, or goes on with it; the event is no longer on sale. Returns the month of its
   archive; null: it ended too recently, or is archived already. */
create or replace function begin_archive(p_event bigint, p_retention interval) returns date
language plpgsql as $$
declare
    e events;
begin
    select * into e from events
    where id = p_event and archived_at is null and state <> 'draft'
        and greatest(starts_at, off_sale_at) < clock_timestamp() - p_retention
    for update;
    if not found then
        return null;
    end if;
    e.archive_month := coalesce(e.archive_month, date_trunc('month',
        greatest(e.starts_at, e.off_sale_at) at time zone 'utc')::date);
    perform pg_advisory_xact_lock(hashtext('usher.ensure_partitions'));
    perform make_partition(name, e.archive_month) from unnest(array['archived_events',
        'archived_bookings', 'archived_payments', 'archived_entries']) name;
    update events
    set archive_month = e.archive_month, state = case when state = 'on_sale' then 'closed' else state end
    where id = p_event and (archive_month is null or state = 'on_sale');
    return e.archive_month;
end $$;

/* Moves entries without a booking into the archive. Returns how many. */
create or replace function archive_entries(p_event bigint, p_month date, p_limit integer)
returns integer language plpgsql set jit = off set enable_seqscan = off as $$
declare
    ids constant uuid[] := array(
        select id from entries where event_id = p_event order by id limit p_limit for update);
begin
    insert into archived_entries (month, event_id, id, number, buyer_id, state, document)
    select p_month, event_id, id, number, buyer_id, state, to_jsonb(e)
    from entries e where event_id = p_event and id = any (ids);
    delete from entries where event_id = p_event and id = any (ids);
    return cardinality(ids);
end $$;

/* Archives the rest of an event: its seats, its lane and all other rows by event. The event itself stays in
   the catalogue. If a booking was restored since, new rows are added to
   the document. */
create or replace function archive_rest(p_event bigint, p_month date) returns void language plpgsql as $$
declare
    kept constant jsonb := (
        select jsonb_build_object('event', to_jsonb(e),
            'categories', (select jsonb_agg(to_jsonb(c)) from event_categories c where c.event_id = e.id),
            'allocations', (select jsonb_agg(to_jsonb(a)) from allocations a where a.event_id = e.id),
            'postponements', (select jsonb_agg(to_jsonb(p) order by p.number) from postponements p
                where p.event_id = e.id),
            'purged_holds', (select jsonb_agg(to_jsonb(h)) from purged_holds h where h.event_id = e.id),
            'cancellation', (select to_jsonb(c) from event_cancellations c where c.event_id = e.id),
            'lane', (select to_jsonb(l) || to_jsonb(s)
                from lanes l join lane_state s on s.event_id = l.event_id where l.event_id = e.id),
            'seats', (select coalesce(jsonb_agg(to_jsonb(s) - 'event_id'), '[]') from seats s
                      where s.event_id = e.id))
        from events e where e.id = p_event);
begin
    insert into archived_events as a (month, event_id, organisation_id, name, currency, document)
    select p_month, id, organisation_id, name, currency, kept
    from events where id = p_event
    on conflict (month, event_id) do update
    set document = jsonb_set(a.document, '{seats}',
        (a.document -> 'seats') || (excluded.document -> 'seats'));
    delete from seats where event_id = p_event;
    delete from buyer_seats where event_id = p_event;
    delete from purged_holds where event_id = p_event;
    delete from queue_leavers where event_id = p_event;
    delete from lane_wakes where event_id = p_event;
    delete from queue_endings where event_id = p_event;
    delete from lane_state where event_id = p_event;
    delete from lanes where event_id = p_event;
    perform drop_entry_numbers(p_event);
    update events set archived_at = clock_timestamp() where id = p_event;
end $$;
