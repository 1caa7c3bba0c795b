/* Erases what an account's bookings, payments, mails and kept answers hold, in the tables and in the archive. The
   caller has locked the bookings. */
create or replace function erase_bookings(p_account bigint) returns void
language plpgsql set enable_seqscan = off as $$
declare
    part record;
    -- Two tables name a refund or a payment and no booking: what is looked for there is found first.
    refund_ids constant uuid[] := array(
        select r.id from bookings b join refunds r on r.event_id = b.event_id and r.booking_id = b.id
        where b.buyer_id = p_account);
    payment_ids constant uuid[] := array(
        select p.id from bookings b join payments p on p.event_id = b.event_id and p.booking_id = b.id
        where b.buyer_id = p_account);
begin
    update emails set state = case state when 'pending' then 'skipped' else state end, context = '{}',
        last_error = null
    where buyer_id = p_account and booking_id is null;
    delete from booking_addresses a using bookings b
    where b.buyer_id = p_account and a.event_id = b.event_id and a.booking_id = b.id;
    delete from booking_names n using bookings b
    where b.buyer_id = p_account and n.event_id = b.event_id and n.booking_id = b.id;
    delete from booking_terms t using bookings b where b.buyer_id = p_account and t.booking_id = b.id;
    insert into bookings_to_index (event_id, booking_id)
    select event_id, id from bookings where buyer_id = p_account order by id on conflict do nothing;
    update dead_letters l set errors = '[]', reason = 'erased', resolution = 'erased'
    where l.resolved_at is not null and (l.buyer_id = p_account or l.booking_id in (
        select id from bookings where buyer_id = p_account));
    update notification_inbox n set payload = '{}'
    from bookings b join payments p on p.event_id = b.event_id and p.booking_id = b.id
    where b.buyer_id = p_account and n.payment_id = p.id;
    update notification_inbox n set payload = '{}'
    from archived_bookings b join archived_payments p on p.event_id = b.event_id and p.booking_id = b.id
    where b.buyer_id = p_account and n.payment_id = p.payment_id;
    for part in
        select of_table, of_event, condition,
            (select string_agg(quote_ident(c), ', ') from jsonb_object_keys(replaced) c) as columns,
            (select string_agg('r.' || quote_ident(c), ', ') from jsonb_object_keys(replaced) c) as picked
        from archive_parts(), erased_values(of_table, '{}') replaced
        where replaced is not null
    loop
        execute format('update %1$I x set (%2$s) = (
                select %3$s from jsonb_populate_record(x, erased_values(%1$L, to_jsonb(x))) r)
            %4$s', part.of_table, part.columns, part.picked, case part.of_table
                when 'offline_refunds' then 'where x.refund_id = any ($2)'
                when 'offline_payments' then 'where x.payment_id = any ($3)'
                else 'from bookings b where b.buyer_id = $1 and '
                    || part_condition(part.of_event, part.condition) end)
        using p_account, refund_ids, payment_ids;
    end loop;
    update receipts r set breakdown = r.breakdown || '{"reason": ""}'
    from (select event_id, id from bookings where buyer_id = p_account
          union all select event_id, id from archived_bookings where buyer_id = p_account) b
    where r.event_id = b.event_id and r.booking_id = b.id and r.breakdown ? 'reason';
    delete from idempotency_keys where principal = any (array(
        select 'buyer:' || p_account
        union all
        select format('staff:%s of %s', account_id, coalesce(organisation_id::text, 'platform'))
        from memberships where account_id = p_account));
    update archived_bookings set document = document || erased_parts(document) where buyer_id = p_account;
end $$;

/* Returns the parts of a booking's document in the archive that hold personal data, without them. */
create or replace function erased_parts(p_document jsonb) returns jsonb language sql stable as $$
    select coalesce(jsonb_object_agg(part, (
        select coalesce(jsonb_agg(x || erased_values(of_table, x)), '[]')
        from jsonb_array_elements(p_document -> part) x)), '{}')
    from archive_parts()
    where erased_values(of_table, '{}') is not null and p_document ? part
$$;

/* Returns the values that take the place of personal ones in a row; null: the table has none. */
create or replace function erased_values(p_table text, p_row jsonb) returns jsonb
language sql immutable as $$
    select case p_table
        when 'emails' then jsonb_build_object('context', '{}'::jsonb, 'last_error', null,
            'state', case p_row ->> 'state' when 'pending' then 'skipped' else p_row ->> 'state' end)
        when 'refunds' then jsonb_build_object('reason', '', 'params', '{}'::jsonb, 'failure_message', null,
            'settlement', case when p_row ->> 'settlement' is not null then 'erased' end)
        when 'offline_payments' then jsonb_build_object('reference',
            case when p_row ->> 'reference' is not null then 'erased ' || (p_row ->> 'payment_id') end)
        when 'transfers' then jsonb_build_object('reference', 'erased ' || (p_row ->> 'id'),
            'how', case when p_row ->> 'how' is not null then 'erased' end)
        when 'offline_refunds' then '{"how": "erased"}'
        when 'payments' then '{"params": {}, "next_action": null, "client_secret": null,
            "failure_message": null, "address_hash": null, "card_fingerprint": null, "card_country": null,
            "card_last4": null, "card_checks": null, "risk_message": null}'
        when 'booking_notes' then '{"note": "erased"}'
        when 'booking_tags' then '{"tags": []}'
    end
$$;
