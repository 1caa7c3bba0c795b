/* Describes a seat for a line of a document: its place and category. */
create or replace function describe_seat(p_event bigint, p_seat integer, p_category integer)
returns jsonb language sql stable as $$
    select jsonb_build_object('what', 'ticket', 'zone', s.zone, 'row', s.row_label,
        'row_label', s.printed_row, 'number', s.number, 'category', c.name)
    from events e
    join plan_seats s on s.plan_version_id = e.plan_version_id and s.seat = p_seat
    join event_categories c on c.event_id = e.id and c.category = p_category
    where e.id = p_event
$$;
