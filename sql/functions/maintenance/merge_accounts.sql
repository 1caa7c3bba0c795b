/* Moves all that an account has bought into another account of the same person, and closes it. Returns why it
   cannot be now, see merge_block, or null: it is done. What moves is counted anew for the caps on seats.

   Entries and counters are found event by event: they have no index by buyer alone. Lock order: entries,
   bookings, counters, accounts. */
create or replace function merge_accounts(p_from bigint, p_into bigint) returns text
language plpgsql set enable_seqscan = off set jit = off as $$
declare
    because text;
    event bigint;
begin
    perform from events v join entries e on e.event_id = v.id and e.buyer_id = p_from
    order by e.event_id, e.number for update of e;
    perform from bookings where buyer_id = p_from order by event_id, id for update;
    perform from events v join buyer_seats s on s.event_id = v.id and s.buyer_id in (p_from, p_into)
    order by s.event_id, s.buyer_id for update of s;
    perform from accounts where id in (p_from, p_into) order by id for update;
    because := merge_block(p_from, p_into);
    if because is not null then
        return because;
    end if;
    update entries e set buyer_id = p_into, idempotency_key = case when exists (
            select from entries o where o.event_id = e.event_id and o.buyer_id = p_into
                and o.idempotency_key = e.idempotency_key) then 'merged ' || e.id else e.idempotency_key end
    from events v where e.event_id = v.id and e.buyer_id = p_from;
    insert into bookings_to_index (event_id, booking_id)
    select event_id, id from bookings where buyer_id = p_from order by id on conflict do nothing;
    update bookings set buyer_id = p_into where buyer_id = p_from;
    for event in
        select v.id from events v join buyer_seats s on s.event_id = v.id and s.buyer_id = p_from order by v.id
    loop
        perform move_buyer_seats(event, p_from, p_into);
    end loop;
    update emails set buyer_id = p_into where buyer_id = p_from and booking_id is not null;
    update dead_letters set buyer_id = p_into where buyer_id = p_from;
    perform retire_account(p_from, p_into);
    perform audit('account merged', null, jsonb_build_object('into', p_into), null, p_from);
    return null;
end $$;

/* Returns why two accounts cannot be merged now; null: they can. */
create or replace function merge_block(p_from bigint, p_into bigint) returns text
language sql stable set enable_seqscan = off as $$
    select case
        when p_from = p_into or not exists (select from accounts where id = p_from and closed_at is null
            and blocked_at is null) then 'cannot_be_merged'
        when exists (select from memberships where account_id = p_from and ended_at is null)
            then 'cannot_be_merged'
        when exists (select from events v join entries e on e.event_id = v.id and e.buyer_id = p_from
                where entry_is_active(e.state))
            or exists (select from bookings b
                left join payments p on p.event_id = b.event_id and p.booking_id = b.id
                where b.buyer_id = p_from
                    and (b.state = 'held' or booking_is_under_way(b.state) or payment_is_open(p.state)))
            then 'unfinished_bookings'
        when exists (select from archived_bookings where buyer_id = p_from) then 'archived'
        when exists (select from events v
            join buyer_seats f on f.event_id = v.id and f.buyer_id = p_from
            join buyer_seats i on i.event_id = v.id and i.buyer_id = p_into
            where f.seats + i.seats > i.cap) then 'over_cap'
        end
$$;

/* Counts what a buyer has of an event with another buyer, whose it is now. */
create or replace function move_buyer_seats(p_event bigint, p_from bigint, p_into bigint) returns void
language plpgsql as $$
declare
    gone buyer_seats;
begin
    delete from buyer_seats where event_id = p_event and buyer_id = p_from returning * into gone;
    perform recount_buyer(p_event, p_into);
    update buyer_seats set unpaid_holds = unpaid_holds + gone.unpaid_holds,
        unpaid_at = greatest(unpaid_at, gone.unpaid_at)
    where event_id = p_event and buyer_id = p_into;
end $$;
