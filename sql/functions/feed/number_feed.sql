/* Numbers what is new for the feed, at most about p_limit messages; told: how many. remains: there is more.
   restarted: the database was restored into another server, whose transactions count anew, so the feed goes on
   from here.

   A piece of the feed is what a range of transactions has written, all of which have ended: those from the end
   of the piece before to the oldest that is open. So each is told once, however late it commits. Within a
   piece messages are in the order of their times: two transactions that changed one booking waited for one
   another, and the later one has the later times. They are in one piece, or the one that was first is in
   the earlier piece: at the end of a piece every transaction in it has ended, and none that comes later.
   A piece that is large is told in slices by time, in a transaction each. */
create or replace function number_feed(
    p_limit integer, out told integer, out remains boolean, out restarted boolean)
language plpgsql
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    progress feed_progress;
    slice_end timestamptz;
begin
    told := 0; remains := false; restarted := false;
    select * into progress from feed_progress for update;
    if not found then
        perform begin_feed();
        return;
    end if;
    if progress.to_xid = progress.from_xid then
        progress := begin_piece(progress);
        if progress.to_xid < progress.from_xid then
            delete from feed_notes where xid >= progress.from_xid;
            delete from feed_progress;
            perform begin_feed();
            restarted := true;
            return;
        end if;
    end if;
    select s.slice_end, s.remains into slice_end, remains from find_slice(progress, p_limit) s;
    if slice_end is null and progress.after_at is null
            and progress.piece_at < progress.told_until + interval '10 s' then
        return;  -- nothing is new: the next look begins the same piece
    end if;
    if slice_end is not null then
        told := tell_slice(progress, slice_end);
    end if;
    if remains then
        progress.after_at := slice_end;
    else
        progress.from_xid := progress.to_xid; progress.after_at := null;
        progress.told_until := progress.piece_at;
    end if;
    update feed_progress p set from_xid = progress.from_xid, to_xid = progress.to_xid,
        after_at = progress.after_at, piece_at = progress.piece_at, told_until = progress.told_until,
        since = progress.since, next_xid = progress.next_xid, next_at = progress.next_at;
end $$;

/* The oldest transaction that is open, and the next one that will begin. */
create or replace function feed_horizon(out oldest bigint, out coming bigint)
language sql volatile as $$
    select pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint
    from pg_current_snapshot() s
$$;

/* Begins the feed: what is committed from now on is told. */
create or replace function begin_feed() returns void language sql as $$
    insert into feed_progress (from_xid, to_xid, since, next_xid)
    select h.oldest, h.oldest, clock_timestamp() - interval '1 day', h.coming from feed_horizon() h
    on conflict do nothing
$$;

/* Begins a piece. The clock is read before the transactions are: those that are not known yet begin later. */
create or replace function begin_piece(p_progress feed_progress) returns feed_progress
language plpgsql as $$
declare
    horizon record;
begin
    p_progress.piece_at := clock_timestamp();
    select * into horizon from feed_horizon();
    p_progress.to_xid := horizon.oldest;
    if p_progress.next_xid <= p_progress.from_xid then
        p_progress.since := p_progress.next_at;
        p_progress.next_xid := horizon.coming; p_progress.next_at := p_progress.piece_at;
    end if;
    return p_progress;
end $$;

/* Finds the end of the next slice of a piece; null: there is nothing left. */
create or replace function find_slice(
    p_progress feed_progress, p_limit integer, out slice_end timestamptz, out remains boolean)
language plpgsql as $$
begin
    select max(n.at) filter (where n.before < p_limit), coalesce(max(n.before) >= p_limit, false)
    into slice_end, remains
    from (
        select f.at, sum(f.messages) over (order by f.at, f.place) - f.messages as before
        from (select s.at, s.place, s.messages
              from feed_sources(p_progress.from_xid, p_progress.to_xid, p_progress.since) s
              where s.at > coalesce(p_progress.after_at, '-infinity')
              order by s.at, s.place limit p_limit + 1) f) n;
end $$;

/* Tells a slice of a piece: writes its messages with the next numbers of their feeds. Returns how many. */
create or replace function tell_slice(p_progress feed_progress, p_end timestamptz) returns integer
language plpgsql as $$
declare
    written integer;
begin
    with messages as (
        insert into feed_messages (organisation_id, is_test, number, at, event_id, subject, type, data)
        select m.organisation_id, m.is_test, coalesce(h.last_number, 0) + row_number()
                over (partition by m.organisation_id, m.is_test order by m.at, m.place, m.subject),
            m.at, m.event_id, m.subject, m.type, m.data
        from feed_news(p_progress.from_xid, p_progress.to_xid, p_progress.since,
            coalesce(p_progress.after_at, '-infinity'), p_end) m
        left join feed_heads h on h.organisation_id = m.organisation_id and h.is_test = m.is_test
        returning organisation_id, is_test, number
    ), heads as (
        insert into feed_heads as h (organisation_id, is_test, last_number)
        select m.organisation_id, m.is_test, max(m.number) from messages m
        group by m.organisation_id, m.is_test order by m.organisation_id, m.is_test
        on conflict (organisation_id, is_test) do update set last_number = excluded.last_number
    )
    select count(*) into written from messages;
    delete from feed_notes n
    where n.xid >= p_progress.from_xid and n.xid < p_progress.to_xid
        and n.at > coalesce(p_progress.after_at, '-infinity') and n.at <= p_end;
    return written;
end $$;
