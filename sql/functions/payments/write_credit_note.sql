/* Writes the breakdown of a refund's credit note; its amounts are negative. */
create or replace function write_credit_note(p_event bigint, p_refund uuid) returns jsonb
language sql stable set enable_seqscan = off as $$
    select document_head(r.event_id, r.booking_id) || sum_taxes(tax_refund(r))
        || jsonb_build_object('reason', r.reason, 'lines', coalesce((
            select jsonb_agg(describe_item(k)
                || jsonb_build_object('total', -i.amount) order by i.seat)
            from refund_items i
            join booking_items k on k.event_id = i.event_id and k.booking_id = i.booking_id
                and k.seat = i.seat
            where i.refund_id = r.id), '[]'))
    from refunds r where r.event_id = p_event and r.id = p_refund
$$;

/* Divides a refund by rate of tax, in the form that sum_taxes takes, all negative. First comes the price of
   its seats and the booking's fee, as far as earlier documents leave it; the rest is divided in proportion
   to what they leave. The refund that takes the last amount of a rate takes the last of its tax, so that
   all refunds of a booking together have the booking's tax. An amount beyond the receipt (a failed refund
   that was paid twice) has no tax. */
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
