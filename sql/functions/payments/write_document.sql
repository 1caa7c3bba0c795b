/* Writes the document that is due, with the number of the document that it corrects. */
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
        breakdown := write_credit_note(p_due.event_id, p_due.refund_id);
        select r.number into corrects from receipts r
        where r.event_id = p_due.event_id and r.booking_id = p_due.booking_id and r.refund_id is null;
    end if;
end $$;

/* Writes the reversal of a credit note: the same with all amounts negated. */
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
