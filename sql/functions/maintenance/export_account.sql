/* Returns what is kept about an account's person, as one document; of bookings, in the archive or not, those after
   p_after, p_limit at most. What only tells how fraud is found is left out. next: the booking to go on after;
   null: that is all. Null: there is no such account, or its data were erased. */
create or replace function export_account(p_account bigint, p_after uuid, p_limit integer) returns jsonb
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
        'account', jsonb_build_object('id', a.id, 'created_at', a.created_at, 'verified_at', a.verified_at,
            'closed_at', a.closed_at, 'has_password', a.password_hash is not null),
        'person', jsonb_build_object('email', u.email, 'name', u.name, 'locale', u.locale),
        'bookings', (select coalesce(jsonb_agg(document order by id), '[]') from documents),
        'other_addresses', (select coalesce(jsonb_agg(to_jsonb(c)), '[]') from page k
            join booking_addresses c on c.event_id = k.event_id and c.booking_id = k.id),
        'receipts', (select coalesce(jsonb_agg(to_jsonb(r) order by r.organisation_id, r.number), '[]') from page k
            join receipts r on r.event_id = k.event_id and r.booking_id = k.id),
        'other_mails', (select coalesce(jsonb_agg(to_jsonb(m) - 'context' order by m.id), '[]') from emails m
            where m.buyer_id = a.id and m.booking_id is null),
        'acts', (select coalesce(jsonb_agg(jsonb_build_object('at', l.at, 'action', l.action,
                'event_id', l.event_id, 'detail', l.detail || coalesce(p.personal, '{}')) order by l.id), '[]')
            from audit_log l left join audit_personal p on p.act_id = l.id where l.account_id = a.id),
        'next', (select max(id::text) from page having count(*) = p_limit))
    from accounts a join buyers u on u.id = a.id
    where a.id = p_account and a.erased_at is null
$$;

/* Returns a booking's document without what is kept to find fraud, and without the secrets of its payments. */
create or replace function export_booking(p_document jsonb) returns jsonb language sql immutable as $$
    select p_document - 'log' || jsonb_build_object('payments', (
        select coalesce(jsonb_agg(x - array['params', 'client_secret', 'address_hash', 'card_fingerprint',
            'risk_level', 'risk_score', 'risk_message', 'gateway_review', 'card_checks']), '[]')
        from jsonb_array_elements(p_document -> 'payments') x))
$$;
