/* Returns what is left of a booking's money: {paid, returned, total, net, tax, taxes: [{rate, net, tax,
   total}]}; total = paid - returned. Null: nothing was captured for it. What is left belongs to the lines
   whose tickets were not returned, and to the booking's fee; if it is more, to the others as well. */
create or replace function booking_balance(p_event bigint, p_booking uuid) returns jsonb
language plpgsql stable set enable_seqscan = off as $$
declare
    step integer;
    paid bigint;
    back bigint;
    rates numeric[]; totals bigint[]; taxes bigint[]; kept bigint[]; shares bigint[];
begin
    select p.captured, money_back(p), c.step into paid, back, step
    from bookings b
    join payments p on p.id = b.payment_id
    join currencies c on c.code = b.currency
    where b.event_id = p_event and b.id = p_booking and p.captured > 0;
    if not found then
        return null;
    end if;
    select array_agg(rate order by rate), array_agg(total order by rate), array_agg(tax order by rate),
        array_agg(left_over order by rate)
    into rates, totals, taxes, kept
    from (select l.tax_rate as rate, sum(l.price + l.fee) as total, sum(l.tax) as tax,
              coalesce(sum(l.price + l.fee) filter (where case when l.seat is null
                  then booking_is_sold(b.state) else i.returned_at is null end), 0) as left_over
          from bookings b
          cross join booking_lines(p_event, p_booking) l
          left join booking_items i on i.event_id = p_event and i.booking_id = p_booking
              and i.seat = l.seat
          where b.event_id = p_event and b.id = p_booking
          group by l.tax_rate) r;
    shares := share_out(paid - back, kept);
    select array_agg(s.share + m.more order by s.place) into shares
    from unnest(shares) with ordinality s(share, place)
    join unnest(share_out(greatest(0, paid - back - (select sum(k) from unnest(kept) k))::bigint, array(
             select t - k from unnest(totals, kept) with ordinality x(t, k, n) order by n)))
         with ordinality m(more, place) using (place);
    return (
        select sum_taxes(jsonb_agg(jsonb_build_object('rate', trim_scale(rate), 'net', share - tax,
                'tax', tax, 'total', share) order by rate))
            || jsonb_build_object('paid', paid, 'returned', back)
        from (select rate, share,
                  all_tax - (round(all_tax::numeric * (total - share) / greatest(total, 1) / step)
                             * step)::bigint as tax
              from unnest(rates, shares, totals, taxes) x(rate, share, total, all_tax)) r);
end $$;
