/* Uses a refresh token of a session: p_refreshes is the count that the token contains. No row: it opens
   nothing any more. The same token is answered alike for 30 seconds, since two threads of a program, or one
   whose answer was lost, may use it at the same time. Used later it has been copied, and the session ends. */
create or replace function refresh_session(
    p_session bigint, p_refreshes integer, out id bigint, out account_id bigint, out organisation_id bigint,
    out refreshes integer, out used_at timestamptz, out expires_at timestamptz, out epoch integer,
    out verified boolean)
returns setof record language plpgsql as $$
declare
    now constant timestamptz := clock_timestamp();
    found sessions;
begin
    select * into found from sessions s
    where s.id = p_session and s.carrier = 'bearer' and s.ended_at is null and s.expires_at > now
    for no key update;
    if found.id is null or p_refreshes > found.refreshes then
        return;
    end if;
    if p_refreshes = found.refreshes then
        update sessions s set refreshes = s.refreshes + 1, used_at = now, expires_at = now + interval '30 days'
        where s.id = p_session;
    elsif p_refreshes < found.refreshes - 1 or found.used_at < now - interval '30 s' then
        update sessions s set ended_at = now where s.id = p_session;
        return;
    end if;
    return query
        select s.id, s.account_id, s.organisation_id, s.refreshes, s.used_at, s.expires_at, a.token_epoch,
            a.verified_at is not null
        from sessions s join accounts a on a.id = s.account_id
        where s.id = p_session and a.closed_at is null and a.blocked_at is null;
end $$;
