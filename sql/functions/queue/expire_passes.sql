/* Ends passes that were not taken or not used in time, which makes room for the next entries. An offer
   becomes missed; a taken pass lapses, and so does an entry that did not come back within the grace time. */
create or replace function expire_passes(p_limit integer, out missed integer, out lapsed integer)
language plpgsql set jit = off as $$
declare
    due record;
begin
    missed := 0; lapsed := 0;
    for due in
        select d.event_id, array_agg(d.id) as ids,
            count(*) filter (where d.pass_state = 'offered') as offers,
            bool_or(d.pass_state <> 'missed') as had_room
        from (select e.event_id, e.id, e.pass_state from entries e
              where e.state = 'admitted' and e.pass_until <= clock_timestamp()
              order by e.event_id, e.number limit p_limit
              for update of e skip locked) d
        group by d.event_id order by d.event_id
    loop
        update entries e
        set state = case pass_state when 'offered' then 'admitted' else 'lapsed' end,
            pass_state = case pass_state when 'offered' then 'missed' end,
            pass_until = case pass_state when 'offered'
                then clock_timestamp() + make_interval(secs => v.grace_seconds) end,
            decided_at = case pass_state when 'offered' then null else clock_timestamp() end,
            reason = case pass_state when 'taken' then 'pass_not_used'
                                     when 'missed' then 'pass_not_taken' end
        from events v
        where v.id = due.event_id and e.event_id = due.event_id and e.id = any (due.ids);
        perform note_unpaid(due.event_id, array(
            select buyer_id from entries where event_id = due.event_id and id = any (due.ids)
                and state = 'lapsed' and reason = 'pass_not_used'));
        if due.had_room then
            insert into lane_wakes (event_id) values (due.event_id);
        end if;
        missed := missed + due.offers;
        lapsed := lapsed + cardinality(due.ids) - due.offers;
    end loop;
    -- Passes that stopped keeping their places since the lane was served make room, too (pass_keeps_place).
    insert into lane_wakes (event_id)
    select l.event_id from lane_state l join events v on v.id = l.event_id
    where l.state = 'waiting_for_seats' and exists (
            select from entries e where e.event_id = l.event_id and e.state = 'admitted'
                and e.pass_state = 'taken' and e.pass_until > clock_timestamp()
                and not pass_keeps_place(e, v.pass_seconds)
                and e.pass_until > l.served_at + make_interval(secs => v.pass_seconds - 60))
        and not exists (select from lane_wakes w where w.event_id = l.event_id);
end $$;
