/* Writes the bookings of a batch and holds their seats, all set-based. The caller has locked the entries
   and the seats. A booking has the event's booking fee unless all its tickets are free.
   A buyer whose earlier holds ended unpaid has less time (note_unpaid).
   p_ids, p_buyers, p_quantities: of the batch's entries. p_owner[j]: the position in them of the entry that
   gets p_seat[j]. Returns the number of bookings.

   Rows are also named by an array: with that an index is read once for all of them, in order, and no plan reads
   all seats or entries of the event. (select ...) keeps the planner from estimating each element. */
create or replace function hold_seats(
    p_show events, p_ids uuid[], p_buyers bigint[], p_quantities integer[],
    p_owner integer[], p_seat integer[], p_category integer[])
returns integer language plpgsql
set jit = off set enable_seqscan = off set enable_nestloop = off set enable_mergejoin = off as $$
declare
    moment constant timestamptz := clock_timestamp();
    due constant timestamptz := hold_until(p_show, moment);
    entry_at integer[] := array(select distinct o from unnest(p_owner) o order by o);
    booking_ids uuid[] := array(select uuid7() from generate_series(1, cardinality(p_ids)));
    free_ids uuid[];
    step constant integer := (select c.step from currencies c where c.code = p_show.currency);
    fee_tax constant bigint := tax_in(p_show.booking_fee, p_show.booking_fee_tax_rate, step);
    prices bigint[]; fees bigint[]; rates numeric[]; taxes bigint[];  -- by category
begin
    select array_agg(c.price order by n), array_agg(c.fee order by n), array_agg(c.tax_rate order by n),
        array_agg(tax_in(c.price + c.fee, c.tax_rate, step) order by n)
    into prices, fees, rates, taxes
    from generate_series(1, (select max(category) from unnest(p_category) category)) n
    left join event_categories c on c.event_id = p_show.id and c.category = n;

    with items as (
        select o.entry, sum(prices[o.category] + fees[o.category])
            + case when sum(prices[o.category] + fees[o.category]) > 0 then p_show.booking_fee else 0 end
            as total
        from unnest(p_owner, p_category) o(entry, category)
        group by o.entry
    ), written as (
        insert into bookings (event_id, id, code, organisation_id, gateway_account_id, buyer_id,
            entry_id, channel, state, quantity, currency, total, fee, fee_tax_rate, fee_tax, deadline,
            terms_accepted_at, created_at, confirmed_at)
        select p_show.id, booking_ids[i.entry], booking_code(booking_ids[i.entry]),
            p_show.organisation_id, p_show.gateway_account_id, e.buyer_id, e.id, e.channel,
            case when i.total = 0 then 'confirmed' else 'held' end, e.quantity, p_show.currency,
            i.total, case when i.total > 0 then p_show.booking_fee else 0 end,
            p_show.booking_fee_tax_rate, case when i.total > 0 then fee_tax else 0 end,
            case when coalesce(c.unpaid_holds, 0) = 0 then due
                else least(due, moment + make_interval(secs => greatest(least(60, p_show.hold_seconds),
                    p_show.hold_seconds * hold_share(p_show.organisation_id, recent_unpaid(c))))) end,
            e.terms_accepted_at,
            moment, case when i.total = 0 then moment end
        from items i
        join entries e on e.event_id = p_show.id and e.id = p_ids[i.entry] and e.id = any ((select p_ids)::uuid[])
        left join buyer_seats c on c.event_id = p_show.id and c.buyer_id = e.buyer_id
            and c.buyer_id = any ((select p_buyers)::bigint[])
        returning id, total
    )
    select array_agg(id) filter (where total = 0) into free_ids from written;

    insert into booking_items (event_id, booking_id, seat, category, price, fee, tax_rate, tax,
        currency)
    select p_show.id, booking_ids[o.entry], o.seat, o.category, prices[o.category], fees[o.category],
        rates[o.category], taxes[o.category], p_show.currency
    from unnest(p_owner, p_seat, p_category) o(entry, seat, category);

    update seats s
    set state = case when booking_ids[o.entry] = any (free_ids) then 'sold' else 'held' end,
        booking_id = booking_ids[o.entry]
    from unnest(p_owner, p_seat) o(entry, seat)
    where s.event_id = p_show.id and s.seat = o.seat and s.seat = any ((select p_seat)::integer[]);

    update entries e
    set state = 'booked', booking_id = booking_ids[o.entry], decided_at = moment, reason = null,
        pass_state = null, pass_until = null
    from unnest(entry_at) o(entry)
    where e.event_id = p_show.id and e.id = p_ids[o.entry] and e.id = any ((select p_ids)::uuid[]);

    insert into buyer_seats as b (event_id, buyer_id, seats, cap)
    select p_show.id, p_buyers[o.entry], p_quantities[o.entry], p_show.seats_per_buyer
    from unnest(entry_at) o(entry)
    order by p_buyers[o.entry]
    on conflict (event_id, buyer_id) do update
        set seats = b.seats + excluded.seats, cap = excluded.cap;

    if free_ids is not null then
        perform issue_tickets(p_show.id, free_ids);
    end if;
    return cardinality(entry_at);
end $$;

/* Makes a booking code that a person can read out: eight letters and digits, from the id's random part. */
create or replace function booking_code(p_id uuid) returns text
language sql immutable parallel safe as $$
    select translate(upper(encode(substring(uuid_send(p_id) from 11 for 6), 'base64')),
        '+/0O1I', 'HKMPRT')
$$;
