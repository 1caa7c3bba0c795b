/* Offers passes to entries, in the order of p_ids, for as long as a free seat is left that the entries with
   passes do not need. A pass promises no seat, only the choice among the free ones. p_held: seats that
   entries of this batch got; p_before: those of entries with lower numbers. The caller has locked the lane
   and the entries. Returns how many were admitted: the first ones of p_ids. */
create or replace function admit_entries(
    p_show events, p_ids uuid[], p_quantities integer[], p_held integer, p_before integer[])
returns integer language plpgsql set jit = off as $$
declare
    promised integer;
    free integer;
    admitted integer;
begin
    select coalesce(sum(e.quantity), 0) into promised from entries e
    where e.event_id = p_show.id and e.state = 'admitted' and pass_keeps_place(e, p_show.pass_seconds);
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
