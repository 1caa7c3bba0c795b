/* Notes that buyers, each named once for each, held seats or a pass of an event and did not pay. What is older
   than an hour is forgotten. */
create or replace function note_unpaid(p_event bigint, p_buyers bigint[]) returns void
language plpgsql as $$
begin
    insert into buyer_seats as c (event_id, buyer_id, seats, cap, unpaid_holds, unpaid_at)
    select p_event, b.buyer, 0, e.seats_per_buyer, b.n, clock_timestamp()
    from (select buyer, count(*) as n from unnest(p_buyers) buyer group by buyer order by buyer) b
    join events e on e.id = p_event
    on conflict (event_id, buyer_id) do update
        set unpaid_holds = least(100, excluded.unpaid_holds + recent_unpaid(c)),
            unpaid_at = excluded.unpaid_at;
end $$;
