/* Returns the parts of a booking's total: {total, net, tax, fees, booking_fee, taxes: [{rate, net, tax,
   total}]}. fees: of its tickets, and booking_fee. */
create or replace function price_breakdown(p_event bigint, p_booking uuid) returns jsonb
language sql stable as $$
    select jsonb_build_object('taxes', jsonb_agg(jsonb_build_object('rate', trim_scale(tax_rate),
            'net', gross - tax, 'tax', tax, 'total', gross) order by tax_rate),
        'net', sum(gross - tax), 'tax', sum(tax), 'total', sum(gross),
        'fees', sum(fee), 'booking_fee', sum(booking_fee))
    from (select tax_rate, sum(price + fee) as gross, sum(tax) as tax, sum(fee) as fee,
              coalesce(sum(fee) filter (where seat is null), 0) as booking_fee
          from booking_lines(p_event, p_booking) group by tax_rate) r
$$;
