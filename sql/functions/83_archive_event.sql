/* What is still to come of an event, so that it cannot be archived yet; null: nothing. */
create or replace function open_business(p_event bigint) returns text language sql stable as $$
    select case
        when exists (select from bookings where event_id = p_event and state not in
            ('confirmed', 'expired', 'cancelled', 'failed')) then 'a booking has not come to its end'
        when exists (select from payments where event_id = p_event and state not in
            ('captured', 'failed', 'voided')) then 'a payment has not come to its end'
        when exists (select from refunds where event_id = p_event and (state = 'pending'
            or state = 'failed' and retried_by is null and settled_at is null))
            then 'a refund is not paid'
        when exists (select from disputes where event_id = p_event
            and state not in ('won', 'lost', 'warning_closed')) then 'a payment is disputed'
        when exists (select from emails where event_id = p_event and booking_id is not null
            and state = 'pending') then 'an e-mail is not sent'
        when exists (select from receipts_due where event_id = p_event)
            then 'a receipt is not numbered'
        when exists (select from entries where event_id = p_event
            and state in ('lobby', 'waiting', 'standby', 'admitted')) then 'somebody is in the queue'
        when exists (select from event_cancellations where event_id = p_event and finished_at is null)
            then 'it is being cancelled'
        when exists (select from reconciliation_differences
            where event_id = p_event and resolved_at is null) then 'its books differ from the gateway''s'
        when exists (select from outbox where actor <> 'archive_event' and (event_id = p_event
            or (args ->> 'event_id')::bigint = p_event)) then 'a task has to do with it'
        when exists (select from dead_letters where event_id = p_event and resolved_at is null)
            then 'a dead letter has to do with it'
        end
$$;

/* Begins to archive an event, or goes on: the month of its archive. Null: it is not long enough over, or
   done. Nobody sells it any more. */
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

/* Moves bookings of an event into its archive, with all that belongs to them. */
create or replace function archive_bookings(p_event bigint, p_month date, ids uuid[])
returns void language plpgsql set jit = off set enable_seqscan = off as $$
declare
    buyers constant bigint[] := array(
        select distinct buyer_id from bookings where event_id = p_event and id = any (ids));
    part record;
begin
    insert into archived_bookings (month, event_id, id, code, organisation_id, buyer_id, state, quantity,
        currency, total, captured, refunded, created_at, confirmed_at, document)
    select p_month, b.event_id, b.id, b.code, b.organisation_id, b.buyer_id, b.state, b.quantity,
        b.currency, b.total, m.captured, m.refunded, b.created_at, b.confirmed_at, d.document
    from booking_documents(p_event, ids) d
    join bookings b on b.event_id = p_event and b.id = d.id
    cross join lateral (
        select coalesce(sum(p.captured), 0) as captured, coalesce(sum(p.refunded), 0) as refunded
        from payments p where p.event_id = p_event and p.booking_id = b.id) m;
    insert into archived_payments (month, payment_id, gateway_account_id, gateway_id, event_id, booking_id)
    select p_month, id, gateway_account_id, gateway_id, event_id, booking_id
    from payments where event_id = p_event and booking_id = any (ids);
    for part in select * from archive_parts() order by n loop
        execute format('delete from %I x using bookings b
            where b.event_id = $1 and b.id = any ($2) and %s', part.of_table,
            part_condition(part.of_event, part.condition)) using p_event, ids;
    end loop;
    delete from bookings where event_id = p_event and id = any (ids);
    perform recount_buyer(p_event, buyer) from unnest(buyers) buyer order by buyer;
end $$;

/* Moves some of those who did not book: how many. */
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

/* The end of it: the event itself, with its seats, lane and whatever else is by event. It stays in the
   catalogue. Of an event whose archive was opened again, what is new is added. */
create or replace function archive_rest(p_event bigint, p_month date) returns void language plpgsql as $$
declare
    kept constant jsonb := (
        select jsonb_build_object('event', to_jsonb(e),
            'categories', (select jsonb_agg(to_jsonb(c)) from event_categories c where c.event_id = e.id),
            'allocations', (select jsonb_agg(to_jsonb(a)) from allocations a where a.event_id = e.id),
            'cancellation', (select to_jsonb(c) from event_cancellations c where c.event_id = e.id),
            'lane', (select to_jsonb(l) from lanes l where l.event_id = e.id),
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
    delete from queue_leavers where event_id = p_event;
    delete from lane_wakes where event_id = p_event;
    delete from lanes where event_id = p_event;
    execute format('drop sequence if exists entry_numbers_%s', p_event);
    update events set archived_at = clock_timestamp() where id = p_event;
end $$;

/* Moves a piece of an event that is long over into its archive, or all that is left when no booking and no
   entry is. moved: how many of those; done: it is all there; why: it cannot be moved now. Whoever brings
   new business for a booking waits for the locks taken before it is asked for, and then finds the
   booking in the archive. */
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

/* Puts rows of a document back into their table. Columns that are newer than the document have their
   default, those that are no more are left out. */
create or replace function put_back(p_table text, p_rows jsonb) returns void language plpgsql as $$
declare
    columns constant text := (
        select string_agg(quote_ident(a.attname), ', ') from pg_attribute a
        where a.attrelid = p_table::regclass and a.attnum > 0 and not a.attisdropped
            and a.attgenerated = '' and p_rows -> 0 ? a.attname);
begin
    if columns is not null then
        execute format('insert into %1$I (%2$s) select %2$s from jsonb_populate_recordset(null::%1$I, $1)',
            p_table, columns) using p_rows;
    end if;
end $$;

/* With a booking that leaves the archive the log of it comes back, whose months may have been dropped:
   else it would be gone when the booking is archived anew. */
create or replace function put_log_back() returns trigger language plpgsql
set enable_seqscan = off set timezone = 'UTC' as $$
declare
    missing constant state_log[] := array(
        select l from jsonb_populate_recordset(null::state_log, old.document -> 'log') l
        where not exists (select from state_log s where s.event_id = l.event_id and s.id = l.id
            and s.at = l.at and s.new_state = l.new_state));
begin
    if missing <> '{}' then
        perform pg_advisory_xact_lock(hashtext('usher.ensure_partitions'));
        perform make_partition('state_log', month)
        from (select distinct date_trunc('month', at)::date as month from unnest(missing)) m;
        perform guard_log();
        insert into state_log select * from unnest(missing);
    end if;
    return null;
end $$;

create or replace trigger archived_bookings_log after delete on archived_bookings
    for each row execute function put_log_back();

/* Brings a booking back from the archive, as it was: late news came for it, or somebody has to give its
   money back. Its event is archived anew when that has come to its end. False: it is not there. */
create or replace function restore_booking(p_event bigint, p_booking uuid) returns boolean
language plpgsql as $$
declare
    kept archived_bookings;
    part record;
    actor constant text := current_setting('usher.actor', true);
begin
    perform from events where id = p_event and archive_month is not null for update;
    delete from archived_bookings
    where event_id = p_event and id = p_booking
        and month = (select archive_month from events where id = p_event)
    returning * into kept;
    if kept.id is null then
        return false;
    end if;
    delete from archived_payments
    where month = kept.month and event_id = p_event and booking_id = p_booking;
    perform set_config('usher.actor', 'archive', true);  -- in the log: this is no business of today
    perform put_back('bookings', jsonb_build_array(kept.document -> 'booking'));
    for part in select * from archive_parts() order by n desc loop
        perform put_back(part.of_table, kept.document -> part.part);
    end loop;
    perform set_config('usher.actor', coalesce(actor, ''), true);
    perform recount_buyer(p_event, kept.buyer_id);
    update events set archived_at = null where id = p_event;
    insert into audit_log (actor, action, event_id, detail)
    values (coalesce(nullif(actor, ''), current_user), 'booking restored',
        p_event, jsonb_build_object('booking_id', p_booking));
    return true;
end $$;

/* The same, by a payment that the gateway speaks of: its own id, or the gateway's. */
create or replace function restore_payment(p_payment uuid, p_gateway_id text) returns boolean
language sql as $$
    select coalesce(bool_or(restore_booking(event_id, booking_id)), false)
    from (select event_id, booking_id from archived_payments
          where payment_id = p_payment or gateway_id = p_gateway_id limit 1) p
$$;
