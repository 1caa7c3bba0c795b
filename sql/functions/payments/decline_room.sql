/* Says whether an attempt to pay may be sent to the gateway, for a buyer at an address (null: unknown) for an
   event. Card numbers are tested where declines cost nothing, so declines are limited: by account and by
   address, and by event for accounts whose address is not verified. p_limits: {account, address, event:
   [most, seconds]}. What counts as declined: counts_as_decline. What is paid raises the limits of its account
   and address, so that a crowd behind one address is not stopped by the few cards of it that are declined.
   'go'; 'wait': so many attempts of theirs are on their way that their declines could exceed a limit;
   'refuse': a limit is reached. p_self: an attempt that is not counted. p_sent: attempts that this transaction
   marks as sent, but has not yet. */
create or replace function decline_room(
    p_event bigint, p_buyer bigint, p_address bytea, p_limits jsonb, p_self uuid default null,
    p_sent uuid[] default '{}')
returns text language plpgsql stable
set jit = off set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set plan_cache_mode = force_generic_plan as $$
declare
    verdict text;
begin
    select max(x.verdict) into verdict from (
        select judge_attempts(array_agg(x.attempt), p_limits -> 'account', 1, p_self, p_sent, true) as verdict
        from (select p as attempt from bookings b
              join payments p on p.event_id = b.event_id and p.booking_id = b.id
              where b.buyer_id = p_buyer and b.created_at > clock_timestamp() - interval '1 day'
              order by b.created_at desc limit 200) x
        union all
        select judge_attempts(array_agg(x.attempt), p_limits -> 'address', 0.5, p_self, p_sent)
        from (select p as attempt from payments p
              where p.address_hash = p_address
                  and p.created_at > clock_timestamp() - decline_window(p_limits -> 'address')
              order by p.created_at desc limit 500) x) x;
    verdict := split_part(coalesce(verdict, '0 go'), ' ', 2);
    if verdict <> 'refuse' and not is_verified(p_buyer) then
        perform from bookings b join payments p on p.event_id = b.event_id and p.booking_id = b.id
        where b.buyer_id = p_buyer and b.event_id = p_event and p.state = 'failed'
            and counts_as_decline(p);  -- the bank said no; a page that was closed is forgiven
        if found and is_tested(p_event, p_limits -> 'event') then  -- last, since it reads 200 payments
            return 'refuse';
        end if;
    end if;
    return verdict;
end $$;

/* Judges attempts by a limit of declines. p_share: how much one that was paid raises it. p_pages: those whose
   buyer is on the bank's page are on their way, too: one buyer has few of them, a crowd has many.
   The verdicts of decline_room, each after its rank, so that max() finds the strictest. */
create or replace function judge_attempts(
    p_attempts payments[], p_limit jsonb, p_share numeric, p_self uuid, p_sent uuid[],
    p_pages boolean default false)
returns text language sql stable as $$
    select case
        when p_limit is null then '0 go'
        when c.declined >= c.most then '2 refuse'
        when c.declined + c.on_their_way >= c.most then '1 wait'
        else '0 go' end
    from (select count(*) filter (where counts_as_decline(a)) as declined,
              count(*) filter (where (a.first_sent_at is not null or a.id = any (p_sent)) and (a.state in ('intended', 'unknown')
                  or p_pages and a.state = 'requires_action' and not counts_as_decline(a)))
                  as on_their_way,
              (p_limit ->> 0)::integer
                  + floor(p_share * count(*) filter (where a.state in ('authorised', 'captured'))) as most
          from unnest(p_attempts) a
          where a.method <> 'offline' and a.id is distinct from p_self
              and a.created_at > clock_timestamp() - decline_window(p_limit)) c
$$;

/* Returns the time over which a limit of declines counts. */
create or replace function decline_window(p_limit jsonb) returns interval language sql immutable as $$
    select make_interval(secs => (p_limit ->> 1)::double precision)
$$;

/* Whether so many of the latest 200 payments of an event were declined that cards are being tested. */
create or replace function is_tested(p_event bigint, p_limit jsonb) returns boolean
language sql stable set enable_seqscan = off as $$
    select count(*) filter (where x.declined) >= (p_limit ->> 0)::integer
    from (select counts_as_decline(p) as declined from payments p
          where p.event_id = p_event and p.created_at > clock_timestamp() - decline_window(p_limit)
          order by p.created_at desc limit 200) x
$$;
