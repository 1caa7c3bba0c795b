/* Books seats at once: with the pass of an admitted entry (p_entry), or as a direct booking if the event is
   not gated. Seats are named (p_guids), or best available. outcome: 'booked', with the booking's id; or why
   not, and then the caller must roll back: a reason of check_wish or keeps_from_booking, or 'pass_over',
   'pass_too_small', 'already_waiting', 'seats_taken', 'no_accessible_seats', 'not_together', 'sold_out',
   'price_changed' (the seats cost total, and not p_expected). p_by_organisation: it books for the buyer.
   p_version: the plan version of the chart that the buyer has seen.

   Lock order: the sale (shared); if the lane has a cap, a lock that only direct bookings of the event take;
   entry; seats by id (SKIP LOCKED); buyer_seats. The lane is only read. */
create or replace function book_seats(
    p_event bigint, p_buyer bigint, p_entry uuid, p_quantity integer, p_category integer,
    p_together boolean, p_accessible integer, p_guids text[], p_accept_terms boolean,
    p_per_second double precision, p_expected bigint default null,
    p_by_organisation boolean default false, p_version bigint default null,
    out outcome text, out booking_id uuid, out total bigint)
language plpgsql set jit = off as $$
#variable_conflict use_column
declare
    show events;
    mine entries;
    wanted integer[];
    got record;
begin
    perform lock_sale(p_event, false);
    select * into show from events where id = p_event and state <> 'draft';
    select w.outcome, w.seats, w.total into outcome, wanted, total
    from check_wish(show, show.on_sale_at, p_buyer, p_quantity, p_category, p_accessible, p_guids,
        p_accept_terms, p_expected, p_by_organisation, p_version) w;
    if outcome is not null then
        return;
    elsif p_entry is not null then
        select * into mine from entries
        where event_id = p_event and id = p_entry and buyer_id = p_buyer for update;
        outcome := case
            when is_suspended(show.organisation_id) then 'paused'
            when mine.state is distinct from 'admitted' or mine.pass_state <> 'taken'
                or mine.pass_until <= clock_timestamp() then 'pass_over'
            when p_quantity > mine.quantity then 'pass_too_small' end;
    else
        outcome := keeps_from_booking(show, p_per_second);
        if outcome is null then
            insert into entries (event_id, number, organisation_id, buyer_id, quantity, state,
                admission, pass_state, pass_until, idempotency_key, request_sha256,
                terms_accepted_at)
            values (p_event, direct_number(), show.organisation_id, p_buyer, p_quantity, 'admitted', true, 'taken', clock_timestamp(), uuid7()::text, '',
                case when p_accept_terms then clock_timestamp() end)
            on conflict (event_id, buyer_id) where entry_is_active(state)
                do nothing
            returning * into mine;
            outcome := case when mine.id is null then 'already_waiting' end;
        end if;
    end if;
    -- Checks the cap again: the lock is held now, so no other request of this buyer can change the count.
    if outcome is null and p_quantity > seats_allowed(show, p_buyer) then
        outcome := 'over_cap';
    end if;
    if outcome is not null then
        return;
    end if;

    update entries set quantity = p_quantity, category = p_category, together = p_together,
        accessible = p_accessible, seats = wanted
    where event_id = p_event and id = mine.id;
    select * into got from take_seats(p_event, array[mine.id], array[p_quantity],
        array[coalesce(p_category, 0)], array[p_together], array[p_accessible]);
    if got.held is null then
        outcome := case
            when wanted is not null then 'seats_taken'
            when p_accessible > 0 and count_accessible(p_event, p_category) < p_accessible
                then 'no_accessible_seats'
            when count_free(p_event, p_category, p_accessible, p_quantity) >= p_quantity
                then 'not_together'
            else 'sold_out' end;
        return;
    end if;
    select c.total into total
    from changed_totals(show, array[p_expected], got.owners, got.held_category) c
    where p_expected is not null;
    if found then
        outcome := 'price_changed'; return;
    end if;
    perform hold_seats(show, array[mine.id], array[p_buyer], array[p_quantity], got.owners, got.held,
        got.held_category);
    if p_entry is not null then  -- fewer seats are in flight than the pass had reserved
        insert into lane_wakes (event_id, kind)
        values (p_event, case when p_quantity < mine.quantity then 'released' else 'settled' end);
    end if;
    outcome := 'booked';
    select e.booking_id into booking_id from entries e where e.event_id = p_event and e.id = mine.id;
end $$;

/* Says why a direct booking is not allowed: 'no_pass' (the event is gated), 'paused', 'queue' (entries are
   waiting, or are admitted at a rate; one on standby cannot use the seats that are free, so it only goes
   first when others have just come back), 'full' (the cap in flight is reached). Null: it is allowed. */
create or replace function keeps_from_booking(p_show events, p_per_second double precision)
returns text language plpgsql as $$
declare
    lane lanes;
begin
    select * into lane from lanes where event_id = p_show.id;
    if lane.in_flight_cap is not null then
        perform pg_advisory_xact_lock(hashtextextended('in flight ' || p_show.id, 0));
    end if;
    return case
        when p_show.gated then 'no_pass'
        when lane.paused or not (select d.is_due from lanes_due(clock_timestamp(), accounts_away()) d
                                 where d.event_id = p_show.id) then 'paused'
        when lane.admission_rate is not null or exists (
            select from entries where event_id = p_show.id and state = 'waiting')
            or exists (select from lane_wakes where event_id = p_show.id and kind = 'released')
                and exists (select from entries where event_id = p_show.id and state = 'standby')
            then 'queue'
        when (select r.room from lane_room(p_show, lane, 0, 1, p_per_second) r) = 0 then 'full'
    end;
end $$;

/* Makes a number for a direct booking: below all numbers of the queue, and without meaning. A number of the
   queue would count as an entry before the waiting ones. It is made from the microsecond and a random
   part. */
create or replace function direct_number() returns bigint language sql volatile as $$
    select -1024 * (extract(epoch from clock_timestamp()) * 1000000)::bigint
        - floor(random() * 1024)::bigint
$$;
