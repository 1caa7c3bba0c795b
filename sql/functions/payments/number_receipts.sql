/* Numbers the documents of an organisation that are due, in the order in which they became due, p_limit at
   most. Only one transaction does so at a time: it locks the organisation's row, in a mode that does not
   block new references to it. Returns how many. */
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
