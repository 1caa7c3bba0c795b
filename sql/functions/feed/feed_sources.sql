/* What a range of transactions has written for the feed, in rows of about `messages` messages each. What is
   written when a booking leaves the archive is no news. */
create or replace function feed_sources(
    p_from bigint, p_to bigint, p_since timestamptz,
    out at timestamptz, out place integer, out event_id bigint, out noun text, out ids uuid[],
    out old_state text, out state text, out guids text[], out messages integer)
returns setof record language sql stable as $$
    select e.joined_at, 1, e.event_id, 'entry', array[e.id], null, 'joined', null::text[], 1
    from entries e
    where e.xid >= p_from and e.xid < p_to
    union all
    select l.at, 2, l.event_id, l.noun, array[l.id], l.old_state, l.new_state, null, 1
    from state_log l
    where l.at >= p_since - interval '1 hour'  -- the clock may have been set back
        and l.xid >= p_from and l.xid < p_to and l.actor is distinct from 'archive'
    union all
    select n.at, 3, n.event_id, n.noun, n.ids, null, n.state, n.guids,
        case n.noun when 'seats' then 1 else cardinality(n.ids) end
    from feed_notes n
    where n.xid >= p_from and n.xid < p_to
$$;
