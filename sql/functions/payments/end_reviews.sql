/* Ends reviews that were not decided in time, p_limit at most, with the decision that their organisations
   have set. Returns how many. */
create or replace function end_reviews(p_limit integer) returns integer
language plpgsql set jit = off as $$
declare
    due uuid[];
    b bookings;
    ended integer := 0;
begin
    due := array(select id from bookings where state = 'review' and review_until < clock_timestamp()
                 order by review_until limit p_limit);
    if cardinality(due) = 0 then
        return 0;
    end if;
    perform wake_sagas(event_id, array_agg(id)) from bookings where id = any (due)
    group by event_id order by event_id;
    for b in
        select * from bookings
        where state = 'review' and review_until < clock_timestamp() and id = any (due)
        order by event_id, id for update skip locked
    loop
        perform end_review(b, o.review_ends, 'not decided in time', 'review_overdue')
        from organisations o where o.id = b.organisation_id;
        ended := ended + 1;
    end loop;
    return ended;
end $$;
