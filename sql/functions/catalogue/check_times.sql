/* Finds the first error in an event's times. reason: null, when there is none; 'sale_after_start': the sale
   would begin when the event has begun; 'sale_too_long': it would go on for more than a year after that;
   'hold_too_long': a hold from the first minute would outlast sale and event; and, if p_begins,
   'starts_in_the_past'. */
create or replace function check_times(p_event bigint, p_begins boolean, out reason text, out path text)
language sql stable as $$
    select w.reason, w.path
    from events e cross join lateral (values
        ('starts_in_the_past', 'starts_at', p_begins and e.starts_at <= clock_timestamp()),
        ('sale_after_start', 'on_sale_at', e.on_sale_at >= e.starts_at),
        ('sale_too_long', 'off_sale_at', e.off_sale_at > e.starts_at + interval '366 days'),
        ('hold_too_long', 'hold_seconds', e.on_sale_at + make_interval(secs => e.hold_seconds)
            > greatest(e.starts_at, e.off_sale_at))
    ) w(reason, path, wrong)
    where e.id = p_event and wrong limit 1
$$;
