/* Finds the event, booking and buyer that a task's arguments refer to; null where there is none. */
create or replace function find_concern(
    p_args jsonb, p_event bigint, out event_id bigint, out booking_id uuid, out buyer_id bigint)
language plpgsql stable set enable_seqscan = off as $$
begin
    event_id := coalesce(p_event, (p_args ->> 'event_id')::bigint);
    booking_id := (p_args ->> 'booking_id')::uuid;
    if p_args ? 'email_id' then
        select coalesce(m.event_id, find_concern.event_id), m.booking_id, m.buyer_id
        into event_id, booking_id, buyer_id
        from emails m where m.id = (p_args ->> 'email_id')::uuid;
    elsif booking_id is not null then
        select b.buyer_id into buyer_id from bookings b
        where b.event_id = find_concern.event_id and b.id = find_concern.booking_id;
    else
        buyer_id := (p_args ->> 'buyer_id')::bigint;
    end if;
end $$;
