/* Returns the head of a document about a booking: organisation, with its address and VAT id as they are now,
   event and booking code. */
create or replace function document_head(p_event bigint, p_booking uuid) returns jsonb
language sql stable as $$
    select jsonb_build_object('seller', o.name, 'seller_address', o.address,
        'seller_vat_id', o.vat_id, 'event', e.name, 'starts_at', e.starts_at,
        'time_zone', e.time_zone, 'venue', v.name, 'booking', b.code)
    from bookings b
    join organisations o on o.id = b.organisation_id
    join events e on e.id = b.event_id
    join venues v on v.id = e.venue_id
    where b.event_id = p_event and b.id = p_booking
$$;
