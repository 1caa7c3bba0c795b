/* What a task is about, as far as its arguments lead to it. */
create or replace function find_concern(
    p_args jsonb, p_event bigint, out event_id bigint, out booking_id uuid, out buyer_id bigint)
language plpgsql stable set enable_seqscan = off as $$
begin
    event_id := coalesce(p_event, (p_args ->> 'event_id')::bigint);
    booking_id := (p_args ->> 'booking_id')::uuid;
    if p_args ? 'email_id' then
        select coalesce(m.event_id, find_concern.event_id), m.booking_id, m.buyer_id
        into event_id, booking_id, buyer_id
        from emails m where m.id = (p_args ->> 'email_id')::uuid;
    elsif booking_id is not null then
        select b.buyer_id into buyer_id from bookings b
        where b.event_id = find_concern.event_id and b.id = find_concern.booking_id;
    else
        buyer_id := (p_args ->> 'buyer_id')::bigint;
    end if;
end $$;

/* Makes dead letters of tasks that p_token has leased, one open letter for each; p_keep leaves the tasks
   to be tried on, and what its letter tells of such a task stays up to date. p_attempt: the reason is
   what became of this attempt. */
create or replace function bury_tasks(
    p_ids bigint[], p_token uuid, p_reason text, p_keep boolean, p_attempt boolean)
returns void language plpgsql as $$
begin
    insert into dead_letters (task_id, actor, queue, key, args, priority, event_id, booking_id, buyer_id,
        reason, claims, failures, errors, trace, retry_of, created_at)
    select o.id, o.actor, o.queue, o.key, o.args, o.priority, c.event_id, c.booking_id, c.buyer_id,
        p_reason, o.claims, o.failures + p_attempt::integer,
        case when p_attempt then add_attempt(o.errors, 'failed', p_reason, o.claims, o.leased_by)
            else o.errors end,
        o.trace, o.retry_of, o.created_at
    from (select * from outbox where id = any (p_ids) and lease_token = p_token
          order by id for update) o
    cross join lateral find_concern(o.args, o.event_id) c
    on conflict (task_id) where resolved_at is null and task_id > 0 do update
    set reason = excluded.reason, claims = excluded.claims, failures = excluded.failures,
        errors = excluded.errors, trace = excluded.trace;
    if not p_keep then
        delete from outbox where id = any (p_ids) and lease_token = p_token;
    end if;
end $$;

/* Why a dead letter may not be closed by hand: money that would be forgotten with it. Null: it may. */
create or replace function find_unfinished(l dead_letters) returns text
language plpgsql stable set enable_seqscan = off as $$
declare
    why text;
begin
    select case when r.state = 'pending'
        then format('refund %s is still pending: retry it instead', r.id)
        else format('refund %s failed, and its money is owed: try it anew, or say how it was paid'
            ' otherwise (.../refunds/%s/retry, .../settlement)', r.id, r.id) end
    into why
    from refunds r
    where l.args ? 'refund_id' and r.id = (l.args ->> 'refund_id')::uuid
        and (r.state = 'pending'
             or r.state = 'failed' and r.retried_by is null and r.settled_at is null);
    if why is null and l.queue <> 'mail' then
        select format('booking %s is %s, and its payment %s %s: retry it, and it comes to its end', b.id,
            b.state, p.id, p.state)
        into why
        from bookings b
        left join payments p on p.event_id = b.event_id and p.booking_id = b.id
        where b.event_id = l.event_id and b.id = l.booking_id
            and (b.state in ('authorising', 'expiring', 'review', 'secured')
                 or p.state in ('intended', 'requires_action', 'processing', 'authorised', 'unknown')
                 or b.state not in ('confirmed', 'frozen')
                    and p.captured > p.refunded + p.kept + coalesce((
                        select sum(d.amount) from disputes d
                        where d.payment_id = p.id and d.state = 'lost'), 0))
        order by p.created_at desc limit 1;
    end if;
    if why is null and l.actor = 'cancel_event' then
        select 'the event''s cancellation has not come to its end: retry it' into why
        from event_cancellations c where c.event_id = l.event_id and c.finished_at is null;
    end if;
    if why is null and l.actor = 'look_at_dispute' and not exists (
            select from disputes d where d.gateway_id = l.args ->> 'dispute_id') then
        why := format('dispute %s was never looked at: retry it', l.args ->> 'dispute_id');
    end if;
    return why;
end $$;

/* Locks a dead letter, after the row of its task, if that still lives. */
create or replace function lock_letter(p_letter bigint, out letter dead_letters, out lives boolean)
language plpgsql as $$
begin
    perform from outbox
    where id = (select l.task_id from dead_letters l where l.id = p_letter) for update;
    lives := found;
    select * into letter from dead_letters where id = p_letter for update;
end $$;

/* What an operator has done, in the words of the audit log. */
create or replace function note_letter(l dead_letters, p_action text, p_detail jsonb) returns void
language sql as $$
    insert into audit_log (actor, action, event_id, detail)
    values (coalesce(nullif(current_setting('usher.actor', true), ''), current_user), p_action,
        l.event_id, jsonb_build_object('dead_letter', l.id, 'task', l.task_id, 'of', l.actor) || p_detail);
$$;

/* Tries a dead letter's task again. outcome: 'retried', as the new task task_id, in one transaction with
   the end of the letter; 'hastened': the task still lives, and runs now; or why not: 'unknown',
   'resolved', 'refused' with the detail. */
create or replace function retry_letter(
    p_letter bigint, out outcome text, out task_id bigint, out detail text)
language plpgsql as $$
declare
    locked constant record := lock_letter(p_letter);
    l constant dead_letters := locked.letter;
begin
    task_id := case when l.resolved_at is null then l.task_id else l.retried_as end;
    outcome := case
        when l.id is null then 'unknown'
        when l.resolved_at is not null then 'resolved'
        when locked.lives then 'hastened'
        when l.task_id = 0 then 'refused'
        when l.actor = 'refund' and exists (
            select from refunds r
            where r.id = (l.args ->> 'refund_id')::uuid and r.state = 'failed') then 'refused'
        else 'retried' end;
    detail := case
        when outcome = 'resolved' then l.resolution
        when outcome = 'refused' and l.task_id = 0
            then 'this was no task: there is nothing to try again'
        when outcome = 'refused'
            then coalesce(find_unfinished(l), 'the refund is settled: there is nothing to try') end;
    if outcome = 'hastened' then
        update outbox set run_at = least(run_at, clock_timestamp()), resend_at = clock_timestamp()
        where id = l.task_id;
    elsif outcome = 'retried' then
        update emails set state = 'pending'
        where id = (l.args ->> 'email_id')::uuid and state = 'failed';
        task_id := enqueue(l.actor, l.queue, l.key, l.args, l.event_id, p_priority => l.priority,
            p_trace => l.trace);
        update outbox set retry_of = l.id where id = retry_letter.task_id;
        update dead_letters
        set resolved_at = clock_timestamp(), resolution = 'retried', retried_as = retry_letter.task_id,
            resolved_by = nullif(current_setting('usher.actor', true), '')
        where id = l.id;
    end if;
    if outcome in ('hastened', 'retried') then
        perform note_letter(l, 'dead letter retried', jsonb_build_object('as_task', task_id));
    end if;
end $$;

/* Closes a dead letter for good, with its task. outcome: 'discarded', or as above. */
create or replace function discard_letter(
    p_letter bigint, p_reason text, out outcome text, out detail text)
language plpgsql as $$
declare
    l constant dead_letters := (lock_letter(p_letter)).letter;
begin
    detail := case when l.resolved_at is null then find_unfinished(l) else l.resolution end;
    outcome := case
        when l.id is null then 'unknown'
        when l.resolved_at is not null then 'resolved'
        when detail is not null then 'refused'
        else 'discarded' end;
    if outcome = 'discarded' then
        delete from outbox where id = l.task_id;
        update emails set state = 'failed', last_error = 'discarded: ' || p_reason
        where id = (l.args ->> 'email_id')::uuid and state = 'pending';
        update dead_letters
        set resolved_at = clock_timestamp(), resolution = 'discarded: ' || p_reason,
            resolved_by = nullif(current_setting('usher.actor', true), '')
        where id = l.id;
        perform note_letter(l, 'dead letter discarded', jsonb_build_object('reason', p_reason));
    end if;
end $$;
