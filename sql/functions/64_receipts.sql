/* What a booking costs, a line for each seat, and one (seat null) for its own fee. Price and fee contain
   the tax. */
create or replace function booking_lines(p_event bigint, p_booking uuid)
returns table (seat integer, category smallint, price bigint, fee bigint, tax_rate numeric, tax bigint)
language sql stable as $$
    select seat, category, price, fee, tax_rate, tax from booking_items
    where event_id = p_event and booking_id = p_booking
    union all
    select null, null, 0, fee, fee_tax_rate, fee_tax from bookings
    where event_id = p_event and id = p_booking and fee > 0
$$;

/* Sums of a document from those by rate of tax: total = net + tax, each the sum of taxes. */
create or replace function sum_taxes(p_taxes jsonb) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_build_object('taxes', p_taxes, 'net', sum((t ->> 'net')::bigint),
        'tax', sum((t ->> 'tax')::bigint), 'total', sum((t ->> 'total')::bigint))
    from jsonb_array_elements(p_taxes) t
$$;

/* What a booking's total is made of: {total, net, tax, fees, booking_fee, taxes: [{rate, net, tax,
   total}]}. fees: those of its tickets and its own, which is booking_fee, too. */
create or replace function price_breakdown(p_event bigint, p_booking uuid) returns jsonb
language sql stable as $$
    select sum_taxes(jsonb_agg(jsonb_build_object('rate', trim_scale(tax_rate),
            'net', gross - tax, 'tax', tax, 'total', gross) order by tax_rate))
        || jsonb_build_object('fees', sum(fee), 'booking_fee', sum(booking_fee))
    from (select tax_rate, sum(price + fee) as gross, sum(tax) as tax, sum(fee) as fee,
              coalesce(sum(fee) filter (where seat is null), 0) as booking_fee
          from booking_lines(p_event, p_booking) group by tax_rate) r
$$;

/* Who sold what: what every document about a booking begins with. */
create or replace function document_head(p_event bigint, p_booking uuid) returns jsonb
language sql stable as $$
    select jsonb_build_object('seller', o.name, 'event', e.name, 'starts_at', e.starts_at,
        'time_zone', e.time_zone, 'venue', v.name, 'booking', b.code)
    from bookings b
    join organisations o on o.id = b.organisation_id
    join events e on e.id = b.event_id
    join venues v on v.id = e.venue_id
    where b.event_id = p_event and b.id = p_booking
$$;

/* A line of a document, about a seat: where it is. */
create or replace function describe_seat(p_event bigint, p_seat integer, p_category integer)
returns jsonb language sql stable as $$
    select jsonb_build_object('what', 'ticket', 'zone', s.zone, 'row', s.row_label,
        'number', s.number, 'category', c.name)
    from events e
    join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = p_seat
    join event_categories c on c.event_id = e.id and c.category = p_category
    where e.id = p_event
$$;

create or replace function write_receipt(p_event bigint, p_booking uuid) returns jsonb
language sql stable as $$
    select document_head(p_event, p_booking) || price_breakdown(p_event, p_booking)
        || jsonb_build_object('lines', jsonb_agg(
            coalesce(describe_seat(p_event, l.seat, l.category), '{"what": "booking_fee"}')
            || jsonb_build_object('price', l.price, 'fee', l.fee, 'tax_rate', trim_scale(l.tax_rate),
                'tax', l.tax, 'total', l.price + l.fee) order by l.seat))
    from booking_lines(p_event, p_booking) l
$$;

/* Shares of an amount in proportion to weights, in whole units that sum up to it, or to the weights
   where they are less; none is more than its weight. */
create or replace function share_out(p_amount bigint, p_weights bigint[]) returns bigint[]
language sql immutable parallel safe as $$
    select array_agg((round(least(p_amount, whole) * upto / greatest(whole, 1))
        - round(least(p_amount, whole) * (upto - weight) / greatest(whole, 1)))::bigint order by place)
    from (select place, weight, sum(weight) over (order by place) as upto, sum(weight) over () as whole
          from unnest(p_weights) with ordinality w(weight, place)) w
$$;

/* A refund by rate of tax, as sum_taxes takes it, all negative: first what its seats and the booking's
   fee cost, as far as the documents so far leave that; then in proportion to what they leave. Who gets
   the last of a rate gets the last of its tax, so that all of a booking's refunds together have its tax.
   What exceeds the receipt (a refund that failed was paid twice) has no tax. */
create or replace function tax_refund(p_refund refunds) returns jsonb
language plpgsql stable set enable_seqscan = off as $$
declare
    step constant integer := (select step from currencies where code = p_refund.currency);
    rates numeric[]; totals bigint[]; taxes bigint[]; wishes bigint[];
    shares bigint[];
    left_over bigint;
begin
    with paid as (
        select (t ->> 'rate')::numeric as rate, sum((t ->> 'total')::bigint) as total,
            sum((t ->> 'tax')::bigint) as tax
        from receipts r cross join jsonb_array_elements(r.breakdown -> 'taxes') t
        where r.event_id = p_refund.event_id and r.booking_id = p_refund.booking_id
        group by 1
    ), seats as (
        select i.tax_rate as rate, r.amount
        from refund_items r
        join booking_items i on i.event_id = r.event_id and i.booking_id = r.booking_id
            and i.seat = r.seat
        where r.refund_id = p_refund.id
    ), wished as (
        select rate, sum(amount) as amount
        from (select rate, amount from seats
              union all
              select b.fee_tax_rate, least(b.fee, p_refund.amount - (select sum(amount) from seats))
              from bookings b
              where b.event_id = p_refund.event_id and b.id = p_refund.booking_id
                  and p_refund.amount > (select sum(amount) from seats)) w
        group by rate
    )
    select array_agg(p.rate order by p.rate), array_agg(p.total order by p.rate),
        array_agg(p.tax order by p.rate),
        array_agg(least(coalesce(w.amount, 0), p.total) order by p.rate)
    into rates, totals, taxes, wishes
    from paid p left join wished w using (rate)
    where p.total > 0;
    shares := share_out(p_refund.amount, wishes);
    select p_refund.amount - coalesce(sum(s), 0) into left_over from unnest(shares) s;
    select array_agg(f.first + f.more order by f.place) into shares
    from unnest(shares, share_out(left_over, array(
             select t - s from unnest(totals, shares) with ordinality x(t, s, n) order by n)))
         with ordinality f(first, more, place);
    select p_refund.amount - coalesce(sum(s), 0) into left_over from unnest(shares) s;
    return (
        select jsonb_agg(jsonb_build_object('rate', trim_scale(rate), 'net', tax - amount,
            'tax', -tax, 'total', -amount) order by rate)
        from (select rate, amount, case when amount = total then tax
                  else (round(tax::numeric * amount / total / step) * step)::bigint end as tax
              from unnest(rates, shares, totals, taxes) x(rate, amount, total, tax) where amount > 0
              union all
              select 0, left_over, 0 where left_over > 0) r);
end $$;

create or replace function write_credit_note(p_refund uuid) returns jsonb
language sql stable set enable_seqscan = off as $$
    select document_head(r.event_id, r.booking_id) || sum_taxes(tax_refund(r))
        || jsonb_build_object('reason', r.reason, 'lines', coalesce((
            select jsonb_agg(describe_seat(i.event_id, i.seat, k.category)
                || jsonb_build_object('total', -i.amount) order by i.seat)
            from refund_items i
            join booking_items k on k.event_id = i.event_id and k.booking_id = i.booking_id
                and k.seat = i.seat
            where i.refund_id = r.id), '[]'))
    from refunds r where r.id = p_refund
$$;

create or replace function reverse_note(p_note jsonb) returns jsonb
language sql immutable parallel safe as $$
    select p_note || sum_taxes(jsonb_agg(jsonb_build_object('rate', t -> 'rate',
            'net', -(t ->> 'net')::bigint, 'tax', -(t ->> 'tax')::bigint,
            'total', -(t ->> 'total')::bigint)))
        || jsonb_build_object('lines', coalesce((
            select jsonb_agg(l || jsonb_build_object('total', -(l ->> 'total')::bigint))
            from jsonb_array_elements(p_note -> 'lines') l), '[]'))
    from jsonb_array_elements(p_note -> 'taxes') t
$$;

/* The document that is due, and the number of the one that it corrects. */
create or replace function write_document(
    p_due receipts_due, out breakdown jsonb, out corrects bigint)
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_column
begin
    if p_due.occasion = 'confirmed' then
        breakdown := write_receipt(p_due.event_id, p_due.booking_id);
    elsif p_due.occasion = 'refund_failed' then
        select r.number, reverse_note(r.breakdown) into corrects, breakdown
        from receipts r where r.refund_id = p_due.refund_id and r.occasion = 'refunded';
    else
        breakdown := write_credit_note(p_due.refund_id);
        select r.number into corrects from receipts r
        where r.event_id = p_due.event_id and r.booking_id = p_due.booking_id and r.refund_id is null;
    end if;
end $$;

/* Numbers what is due of an organisation, in the order in which it happened, p_limit at most. Only one
   does at a time: the organisation's row is locked, in a way that whoever refers to it does not notice.
   Returns how many. */
create or replace function number_receipts(p_organisation bigint, p_limit integer) returns integer
language plpgsql set jit = off set enable_seqscan = off as $$
declare
    due receipts_due;
    done bigint[] := '{}';
    last bigint;
begin
    perform from organisations where id = p_organisation for no key update;
    select coalesce(max(number), 0) into last from receipts where organisation_id = p_organisation;
    for due in
        select * from receipts_due where organisation_id = p_organisation order by id limit p_limit
    loop
        last := last + 1;
        insert into receipts (organisation_id, number, occasion, event_id, booking_id, refund_id,
            corrects, currency, total, breakdown)
        select due.organisation_id, last, due.occasion, due.event_id, due.booking_id, due.refund_id,
            w.corrects, b.currency, (w.breakdown ->> 'total')::bigint, w.breakdown
        from bookings b cross join write_document(due) w
        where b.event_id = due.event_id and b.id = due.booking_id;
        done := done || due.id;
    end loop;
    delete from receipts_due where id = any (done);
    return cardinality(done);
end $$;
