/* Takes a notification of the gateway: if it is news, enqueues the tasks that read the objects it is about,
   and stores it once. Returns what became of it: 'news'; 'known': it was stored before; 'no_news': it goes
   no further than what is known, or is about nothing of Usher's, and is not stored; 'too_old': it was
   signed too long ago; 'archived': its booking has to be restored first, and nothing was done. One that is about
   an account, and no payment, is not stored: its task alone is added (take_deauthorization).

   Tasks are enqueued before anything is locked, because a worker locks its task before the payment. So the
   payment is read first and locked last. A saga that is recording just now is waited for: what it records
   is no news any more. The lock keeps it from being archived: the archive either sees the
   task, or was first, and then the payment is not found. If the payment has changed so that another task is
   due, the transaction is rolled back and begins again.
   p_signed_at: seconds since 1970. p_tolerance: seconds. p_account: the gateway's own id of the
   connected account; null: the account of our key. p_signer: the account whose own secret has signed it. p_payment, p_gateway_ref: Usher's id and the gateway's id of the payment.
   p_says, p_refund_says: the state of the payment or the refund, in Usher's words; null: it says none.
   p_object: the gateway's id of the object in the notification. p_trace: the request's. */
create or replace function take_notification(
    p_signed_at bigint, p_tolerance integer, p_account text, p_id text, p_type text, p_payload text,
    p_payment uuid, p_gateway_ref text, p_says text, p_object text, p_refund uuid, p_refund_ref text,
    p_refund_says text, p_trace text, p_signer bigint default null
) returns text language plpgsql volatile set enable_seqscan = off as $$
declare
    mine payments;
    actor text;
    due text[];
begin
    if to_timestamp(p_signed_at) <= clock_timestamp() - make_interval(secs => p_tolerance) then
        return 'too_old';
    end if;
    if p_type = 'account.application.deauthorized' then
        return take_deauthorization(p_account, p_signer, p_trace);
    end if;
    mine := find_notified_payment(p_account, p_payment, p_gateway_ref, p_refund, p_refund_ref, p_signer);
    if mine.id is null then
        return case when find_archived_payment(p_account, p_payment, p_gateway_ref, p_signer) is null then 'no_news'
            else 'archived' end;
    end if;
    if p_says is not null then
        actor := task_of_payment(mine.state, p_says);
        if actor is null then
            return 'no_news';
        end if;
    end if;
    if exists (select from notification_inbox where id = p_id) then
        return 'known';
    end if;

    perform set_config('usher.trace', coalesce(p_trace, ''), true);
    if actor = 'advance' then
        perform from outbox o where o.actor = 'advance' and o.key = mine.booking_id::text for update;
        select p.* into mine from payments p where p.id = mine.id;
        perform check_woken(mine.id is not null and coalesce(task_of_payment(mine.state, p_says), actor) = actor);
        if task_of_payment(mine.state, p_says) is null then
            return 'no_news';
        end if;
    end if;
    if actor is not null then
        perform enqueue(actor, 'payments', case actor when 'advance' then mine.booking_id else mine.id end::text,
            jsonb_build_object('event_id', mine.event_id, 'booking_id', mine.booking_id)
                || case actor when 'advance' then '{}' else jsonb_build_object('payment_id', mine.id) end,
            mine.event_id);
    else
        select array_agg(t.actor || ' ' || t.key), enqueue_all('payments', array_agg(t.actor),
            array_agg(t.key), array_agg(t.args), array_agg(t.event_id))
        into due
        from tasks_of_notification(mine, p_type, p_object, p_refund, p_refund_ref, p_refund_says) t
        having count(*) > 0;
        if due is null then
            return 'no_news';
        end if;
    end if;
    select * into mine from payments where id = mine.id for key share;
    perform check_woken(case
        when mine.id is null then false
        when actor is not null then coalesce(task_of_payment(mine.state, p_says), actor) = actor
        else not exists (
            select from tasks_of_notification(mine, p_type, p_object, p_refund, p_refund_ref,
                p_refund_says) t
            where t.actor || ' ' || t.key <> all (due)) end);
    insert into notification_inbox (id, type, payment_id, payload)
    values (p_id, p_type, mine.id, p_payload::jsonb)
    on conflict (id) do nothing;
    if p_type = 'radar.early_fraud_warning.created' then
        insert into fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind, actionable)
        values (p_object, mine.id, mine.event_id, mine.booking_id,
            coalesce(p_payload::jsonb #>> '{data,object,fraud_type}', ''),
            coalesce(p_payload::jsonb #> '{data,object,actionable}' = 'true', false))
        on conflict (payment_id, gateway_ref) do nothing;
    end if;
    return 'news';
end $$;

/* Finds the payment that a notification is about, by Usher's id, by the gateway's, or by its refund, and
   only among those of the account that the notification came from. */
create or replace function find_notified_payment(
    p_account text, p_payment uuid, p_gateway_ref text, p_refund uuid, p_refund_ref text, p_signer bigint
) returns payments language plpgsql stable as $$
declare
    mine payments;
begin
    select p.* into mine
    from payments p join gateway_accounts a on a.id = p.gateway_account_id
    where p.id = p_payment
        and is_signed_for(a, p_account, p_signer);
    if mine.id is null and p_gateway_ref is not null then
        select p.* into mine
        from payments p join gateway_accounts a on a.id = p.gateway_account_id
        where p.gateway_ref = p_gateway_ref
            and is_signed_for(a, p_account, p_signer)
        limit 1;
    end if;
    if mine.id is null and (p_refund is not null or p_refund_ref is not null) then
        select p.* into mine
        from refunds r join payments p on p.id = r.payment_id
        join gateway_accounts a on a.id = p.gateway_account_id
        where (r.id = p_refund or r.gateway_ref = p_refund_ref)
            and is_signed_for(a, p_account, p_signer)
        limit 1;
    end if;
    return mine;
end $$;

/* Names the task that reads a payment: its saga; if it had failed here and has money at the gateway, it is
   an unexpected payment. Null: what the gateway says is no news. */
create or replace function task_of_payment(p_state text, p_says text) returns text
language sql immutable as $$
    select case
        when not is_news('payment', p_state, p_says) then null
        when p_state in ('failed', 'voided') then 'stop_unexpected'
        else 'advance' end
$$;

/* Lists which tasks a notification starts that is not about the payment itself. A refund is read if its
   state is news; one that was made in the dashboard is adopted. A dispute is read after each notification,
   since more than its state can change. */
create or replace function tasks_of_notification(
    p_mine payments, p_type text, p_object text, p_refund uuid, p_refund_ref text, p_refund_says text
) returns table (actor text, key text, args jsonb, event_id bigint) language sql stable as $$
    select 'refund', r.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', r.id), r.event_id
    from refunds r
    where r.payment_id = p_mine.id and (r.id = p_refund or r.gateway_ref = p_refund_ref)
        and p_type <> 'refund.created' and is_news('refund', r.state, p_refund_says)
    union all
    select kinds.actor, kinds.key, kinds.args
        || jsonb_build_object('event_id', p_mine.event_id, 'booking_id', p_mine.booking_id), p_mine.event_id
    from (values
        ('adopt_refund', p_refund_ref,
            jsonb_build_object('payment_id', p_mine.id, 'gateway_refund_id', p_refund_ref),
            p_refund_ref is not null and p_refund_says is distinct from 'failed' and not exists (
                select from refunds r where r.id = p_refund or r.gateway_ref = p_refund_ref)),
        ('look_at_dispute', p_object,
            jsonb_build_object('payment_id', p_mine.id, 'dispute_id', p_object),
            p_type like 'charge.dispute.%' and p_object is not null),
        ('freeze_for_fraud_warning', p_mine.id::text,
            jsonb_build_object('payment_id', p_mine.id),
            p_type = 'radar.early_fraud_warning.created' and p_object is not null and not exists (
                select from fraud_warnings w where w.payment_id = p_mine.id and w.gateway_ref = p_object))
    ) kinds(actor, key, args, is_due)
    where kinds.is_due
$$;
