/* Writes the breakdown of a booking's receipt: head, sums and lines. */
create or replace function write_receipt(p_event bigint, p_booking uuid) returns jsonb
language sql stable as $$
    select document_head(p_event, p_booking) || price_breakdown(p_event, p_booking)
        || jsonb_build_object('lines', jsonb_agg(
            coalesce(describe_item(i), '{"what": "booking_fee"}')
            || jsonb_build_object('price', l.price, 'fee', l.fee, 'tax_rate', trim_scale(l.tax_rate),
                'tax', l.tax, 'total', l.price + l.fee) order by l.seat))
    from booking_lines(p_event, p_booking) l
    left join booking_items i on i.event_id = p_event and i.booking_id = p_booking and i.seat = l.seat
$$;
