/* Offers passes to entries, in the order of p_ids, as long as at their turn a seat is free that nobody
   with a pass may still choose. A pass promises no seat, only the choice of those that are free.
   p_held: seats that others of this batch got; p_before: those of them whose turn was before. The caller
   holds the lane and the entries. Returns how many were admitted; the others come after them in p_ids. */
create or replace function admit_entries(
    p_show events, p_ids uuid[], p_quantities integer[], p_held integer, p_before integer[])
returns integer language plpgsql set jit = off as $$
declare
    promised integer;
    free integer;
    admitted integer;
begin
    select coalesce(sum(quantity), 0) into promised from entries
    where event_id = p_show.id and state = 'admitted' and pass_state <> 'missed'
        and pass_until > clock_timestamp();
    free := count_free(p_show.id, null, 0,
        promised + p_held + (select sum(q) from unnest(p_quantities) q)::integer);
    select count(*) into admitted from (
        select q.taken + sum(q.quantity) over (order by q.place) - q.quantity as before
        from unnest(p_quantities, p_before) with ordinality q(quantity, taken, place)) w
    where promised + w.before < free + p_held;
    update entries
    set state = 'admitted', pass_state = 'offered',
        pass_until = clock_timestamp() + make_interval(secs => p_show.claim_seconds)
    where event_id = p_show.id and id = any (p_ids[1 : admitted]);
    return admitted;
end $$;

/* The buyer of an entry takes the pass that is offered, and gets the same again as long as it is good.
   Who comes within the grace time goes back to the head of the queue. outcome: 'taken', 'back_in_queue',
   'lapsed' (too late), 'not_admitted' or 'no_entry'. */
create or replace function take_pass(
    p_event bigint, p_entry uuid, p_buyer bigint, out outcome text, out pass_until timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
    mine entries;
    moment constant timestamptz := clock_timestamp();
    too_late boolean;
begin
    select * into mine from entries
    where event_id = p_event and id = p_entry and buyer_id = p_buyer for update;
    too_late := mine.pass_until <= moment;
    outcome := case
        when mine.id is null then 'no_entry'
        when mine.state <> 'admitted' then 'not_admitted'
        when not too_late and mine.pass_state in ('offered', 'taken') then 'taken'
        when too_late and mine.pass_state <> 'offered' then 'lapsed'
        else 'back_in_queue'
    end;
    pass_until := mine.pass_until;
    if outcome = 'taken' and mine.pass_state = 'offered' then
        update entries e
        set pass_state = 'taken', pass_until = moment + make_interval(secs => v.pass_seconds)
        from events v
        where v.id = p_event and e.event_id = p_event and e.id = p_entry
        returning e.pass_until into pass_until;
    elsif outcome = 'back_in_queue' then
        update entries set state = 'standby', pass_state = null, pass_until = null
        where event_id = p_event and id = p_entry;
        insert into lane_wakes (event_id) values (p_event);
        pass_until := null;
    end if;
end $$;

/* Gives the room of passes that were not taken, or not used, to the next: an offer is missed, a pass
   lapses, and so does an entry that did not come back within the grace time. */
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
        if due.had_room then
            insert into lane_wakes (event_id) values (due.event_id);
        end if;
        missed := missed + due.offers;
        lapsed := lapsed + cardinality(due.ids) - due.offers;
    end loop;
end $$;
