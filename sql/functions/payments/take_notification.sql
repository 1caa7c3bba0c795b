/* Stores a notification of the gateway once, and enqueues the tasks that read the objects it is about.
   is_new: false if it was stored before. payment_id: Usher's payment that it is about; null: none.

   Tasks are enqueued before anything is locked, because a worker locks its task before the payment. So the
   payment is read first and locked last. The lock keeps it from being archived: the archive either sees the
   task, or was first, and then the payment is not found. If the payment has changed so that another task is
   due, the transaction is rolled back and begins again.
   p_payment, p_gateway_ref: Usher's id and the gateway's id of the payment. p_object: the gateway's id of
   the object in the notification; null: it has none, as a balance. p_says, p_refund_says: the state of the
   payment or the refund, in Usher's words; null: unknown. p_money_back: it is about a refund or a
   dispute. */
create or replace function take_notification(
    p_id text, p_type text, p_payload jsonb, p_payment uuid, p_gateway_ref text, p_says text,
    p_money_back boolean, p_object text, p_refund uuid, p_refund_ref text, p_refund_says text,
    out is_new boolean, out payment_id uuid
) language plpgsql volatile as $$
declare
    mine payments := find_notified_payment(p_payment, p_gateway_ref);
    due text[];
begin
    is_new := not exists (select from notification_inbox where id = p_id);
    payment_id := mine.id;
    if not is_new then
        return;
    end if;
    select array_agg(t.actor || ' ' || t.key), enqueue_all('payments', array_agg(t.actor), array_agg(t.key),
        array_agg(t.args), array_agg(t.event_id))
    into due
    from tasks_of_notification(mine, p_type, p_says, p_money_back, p_object, p_refund, p_refund_ref,
        p_refund_says) t
    having count(*) > 0;

    select * into mine from payments where id = mine.id for key share;
    perform check_woken(mine.id is not distinct from payment_id and not exists (
        select from tasks_of_notification(mine, p_type, p_says, p_money_back, p_object, p_refund,
            p_refund_ref, p_refund_says) t
        where t.actor || ' ' || t.key <> all (coalesce(due, '{}'))));
    insert into notification_inbox (id, type, payment_id, payload) values (p_id, p_type, mine.id, p_payload)
    on conflict (id) do nothing;
    is_new := found;
    if p_type = 'radar.early_fraud_warning.created' and mine.id is not null and p_object is not null then
        insert into fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind, actionable)
        values (p_object, mine.id, mine.event_id, mine.booking_id,
            coalesce(p_payload #>> '{data,object,fraud_type}', ''),
            coalesce(p_payload #> '{data,object,actionable}' = 'true', false))
        on conflict (gateway_ref) do nothing;
    end if;
end $$;

/* Finds a payment by Usher's id or by the gateway's, which only Stripe's notifications have. */
create or replace function find_notified_payment(p_payment uuid, p_gateway_ref text) returns payments
language sql stable as $$
    select * from payments
    where id = any (array(
        select id from payments where id = p_payment
        union
        select id from payments
        where gateway_ref = p_gateway_ref and gateway_account_id = any (array(
            select id from gateway_accounts where provider = 'stripe'))
        limit 1))
$$;

/* Lists which notification starts which task. A payment is read by its saga; if it had failed here and has
   money at the gateway, it is an unexpected payment. A refund is read if its state is new; a refunded
   charge starts the tasks of its pending refunds; a refund that was made in the dashboard is adopted. */
create or replace function tasks_of_notification(
    p_mine payments, p_type text, p_says text, p_money_back boolean, p_object text, p_refund uuid,
    p_refund_ref text, p_refund_says text
) returns table (actor text, key text, args jsonb, event_id bigint) language sql stable as $$
    select 'refund', r.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', r.id), r.event_id
    from refunds r
    where (r.id = p_refund or r.gateway_ref = p_refund_ref)
        and p_type <> 'refund.created' and r.state <> 'failed' and r.state is distinct from p_refund_says
    union
    select 'refund', r.id::text,
        jsonb_build_object('event_id', r.event_id, 'booking_id', r.booking_id, 'refund_id', r.id), r.event_id
    from refunds r
    where r.payment_id = p_mine.id and p_type = 'charge.refunded'
        and r.state = 'pending' and r.gateway_ref is not null
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
            p_type = 'radar.early_fraud_warning.created' and p_object is not null),
        ('advance', p_mine.booking_id::text, '{}',
            p_mine.state not in ('failed', 'voided')
            and not p_money_back and p_mine.state is distinct from p_says),
        ('stop_unexpected', p_mine.id::text,
            jsonb_build_object('payment_id', p_mine.id),
            p_mine.state in ('failed', 'voided') and p_says in ('authorised', 'captured')
            and not p_money_back and p_mine.state is distinct from p_says)
    ) kinds(actor, key, args, is_due)
    where p_mine.id is not null and kinds.is_due
$$;
