/* Takes the pass that an entry is offered; as long as it is good, a second call returns the same pass. After
   a missed offer, an entry goes back to the head of the queue if its buyer comes within the grace time.
   outcome: 'taken', 'back_in_queue', 'lapsed' (too late), 'not_admitted' or 'no_entry'. */
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
