/* Replaces the tags of a booking. False: there is no such booking. */
create or replace function set_tags(p_event bigint, p_booking uuid, p_tags text[]) returns boolean
language plpgsql as $$
declare
    buyer constant bigint := (select buyer_id from bookings where event_id = p_event and id = p_booking);
    before text[];
begin
    if buyer is null then
        return false;
    end if;
    select tags into before from booking_tags where event_id = p_event and booking_id = p_booking for update;
    insert into booking_tags as t (event_id, booking_id, tags) values (p_event, p_booking, p_tags)
    on conflict (event_id, booking_id) do update set tags = excluded.tags;
    perform mark_for_index(p_event, array[p_booking]);
    perform audit('booking tagged', p_event, jsonb_build_object('booking_id', p_booking), null, buyer,
        jsonb_build_object('tags', jsonb_build_object('from', coalesce(before, '{}'), 'to', p_tags)));
    return true;
end $$;
