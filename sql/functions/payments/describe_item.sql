/* Describes an item for a line of a document: its place, category, price type and area. */
create or replace function describe_item(p_item booking_items)
returns jsonb language sql stable as $$
    select jsonb_build_object('what', 'ticket', 'zone', s.zone, 'row', s.row_label,
        'row_label', s.printed_row, 'number', s.number, 'category', c.name,
        'price_type', p_item.price_type, 'area', p_item.area)
    from events e
    join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = p_item.seat
    join event_categories c on c.event_id = e.id and c.category = p_item.category
    where e.id = p_item.event_id
$$;
