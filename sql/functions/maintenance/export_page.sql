/* Returns what is kept about an account's person, as one document of a bounded size; p_after: `next` of the
   document before. Bookings come first, then mails about none, then acts: p_limit of each at most, and a document
   that is full of one has none of the next. What only tells how fraud is found is left out. next: null: that is
   all. Null: there is no such account, or its data were erased. */
create or replace function export_page(p_account bigint, p_after text, p_limit integer) returns jsonb
language plpgsql stable set jit = off set enable_seqscan = off as $$
declare
    parts constant text[] := array['bookings', 'other_mails', 'acts'];
    begins constant integer := coalesce(array_position(parts, split_part(p_after, ':', 1)), 1);
    after text := nullif(split_part(p_after, ':', 2), '');
    document jsonb := export_person(p_account, p_after is null);
    found jsonb;
begin
    for n in begins..3 loop
        exit when document is null;
        found := case n when 1 then export_bookings(p_account, after::uuid, p_limit)
            when 2 then export_mails(p_account, after::uuid, p_limit)
            else export_acts(p_account, after::bigint, p_limit) end;
        document := document || (found - 'last');
        if found ->> 'last' is not null then
            return document || jsonb_build_object('next', format('%s:%s', parts[n], found ->> 'last'));
        end if;
        after := null;
    end loop;
    return document;
end $$;

/* Returns the document's frame: who it is about, and, if it is the first one, how the person signs in and for whom
   the person works. Of keys and codes only that they are there. */
create or replace function export_person(p_account bigint, p_is_first boolean) returns jsonb
language sql stable set jit = off set enable_seqscan = off as $$
    select jsonb_build_object(
        'account', jsonb_build_object('id', a.id, 'created_at', a.created_at, 'verified_at', a.verified_at,
            'closed_at', a.closed_at, 'has_password', a.password_hash is not null),
        'person', jsonb_build_object('email', u.email, 'name', u.name, 'locale', u.locale),
        'sessions', (select coalesce(jsonb_agg(to_jsonb(s) - 'account_id' order by s.id), '[]') from sessions s
            where p_is_first and s.account_id = a.id),
        'passkeys', (select coalesce(jsonb_agg(jsonb_build_object('id', k.id, 'name', k.name, 'credential_id',
                encode(k.credential_id, 'base64'), 'created_at', k.created_at, 'used_at', k.used_at) order by k.id),
                '[]') from passkeys k where p_is_first and k.account_id = a.id),
        'second_factor', (select jsonb_build_object('confirmed_at', f.confirmed_at, 'recovery_codes', (
                select count(*) from recovery_codes c where c.account_id = a.id and c.used_at is null))
            from second_factors f where p_is_first and f.account_id = a.id),
        'memberships', (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'organisation', o.name,
                'role', m.role, 'created_at', m.created_at, 'ended_at', m.ended_at) order by m.id), '[]')
            from memberships m left join organisations o on o.id = m.organisation_id
            where p_is_first and m.account_id = a.id),
        'identities', (select coalesce(jsonb_agg(jsonb_build_object('membership_id', i.membership_id, 'issuer',
                i.issuer, 'subject', i.subject, 'created_at', i.created_at) order by i.id), '[]')
            from memberships m join identities i on i.membership_id = m.id
            where p_is_first and m.account_id = a.id),
        'invitations', (select coalesce(jsonb_agg(jsonb_build_object('organisation', o.name, 'role', i.role,
                'created_at', i.created_at, 'accepted_at', i.accepted_at, 'ended_at', i.ended_at) order by i.id), '[]')
            from invitations i left join organisations o on o.id = i.organisation_id
            where p_is_first and i.account_id = a.id),
        'bookings', jsonb '[]', 'other_addresses', jsonb '[]', 'receipts', jsonb '[]',
        'other_mails', jsonb '[]', 'acts', jsonb '[]', 'next', null)
    from accounts a join buyers u on u.id = a.id
    where a.id = p_account and a.erased_at is null
$$;

/* Returns an account's bookings, in the archive or not, with what belongs to them. last: the last one, if there may
   be more. */
create or replace function export_bookings(p_account bigint, p_after uuid, p_limit integer) returns jsonb
language sql stable set jit = off set enable_seqscan = off as $$
    with page as materialized (
        select * from (
            select b.event_id, b.id, false as archived from bookings b where b.buyer_id = p_account
            union all
            select a.event_id, a.id, true from archived_bookings a where a.buyer_id = p_account) k
        where p_after is null or k.id > p_after
        order by k.id limit p_limit
    ), documents as (
        select k.id, export_booking(a.document) as document
        from page k join archived_bookings a on k.archived and a.event_id = k.event_id and a.id = k.id
        union all
        select d.id, export_booking(d.document)
        from (select event_id, array_agg(id) as ids from page where not archived group by event_id) k
        cross join lateral booking_documents(k.event_id, k.ids) d
    )
    select jsonb_build_object(
        'bookings', (select coalesce(jsonb_agg(document order by id), '[]') from documents),
        'other_addresses', (select coalesce(jsonb_agg(o.other), '[]') from (
            select to_jsonb(c) as other from page k
            join booking_addresses c on c.event_id = k.event_id and c.booking_id = k.id
            union all
            select to_jsonb(n) from page k
            join booking_names n on n.event_id = k.event_id and n.booking_id = k.id) o),
        'receipts', (select coalesce(jsonb_agg(to_jsonb(r) order by r.organisation_id, r.number), '[]') from page k
            join receipts r on r.event_id = k.event_id and r.booking_id = k.id),
        'last', (select max(id::text) from page having count(*) = p_limit))
$$;

/* Returns an account's mails about no booking, without what they said: codes, mostly. */
create or replace function export_mails(p_account bigint, p_after uuid, p_limit integer) returns jsonb
language sql stable set enable_seqscan = off as $$
    with page as materialized (
        select m.* from emails m
        where m.buyer_id = p_account and m.booking_id is null and (p_after is null or m.id > p_after)
        order by m.id limit p_limit
    )
    select jsonb_build_object(
        'other_mails', (select coalesce(jsonb_agg(to_jsonb(m) - 'context' order by m.id), '[]') from page m),
        'last', (select max(id::text) from page having count(*) = p_limit))
$$;

/* Returns what organisers and operators did about an account. */
create or replace function export_acts(p_account bigint, p_after bigint, p_limit integer) returns jsonb
language sql stable set enable_seqscan = off as $$
    with page as materialized (
        select l.id, l.at, l.action, l.event_id, l.detail || coalesce(p.personal, '{}') as detail
        from audit_log l left join audit_personal p on p.act_id = l.id
        where l.account_id = p_account and (p_after is null or l.id > p_after)
        order by l.id limit p_limit
    )
    select jsonb_build_object(
        'acts', (select coalesce(jsonb_agg(to_jsonb(a) - 'id' order by a.id), '[]') from page a),
        'last', (select max(id) from page having count(*) = p_limit))
$$;

/* Returns a booking's document without what is kept to find fraud, and without the secrets of its payments. */
create or replace function export_booking(p_document jsonb) returns jsonb language sql immutable as $$
    select p_document - 'log' || jsonb_build_object('payments', (
        select coalesce(jsonb_agg(x - array['params', 'client_secret', 'address_hash', 'card_fingerprint',
            'risk_level', 'risk_score', 'risk_message', 'gateway_review', 'card_checks']), '[]')
        from jsonb_array_elements(p_document -> 'payments') x))
$$;
