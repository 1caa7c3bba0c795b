/* What a person has to do about a difference that cannot mend itself. */
create or replace function advise(d difference) returns text language sql immutable as $$
    select case d.kind
        when 'unknown_payment' then 'The gateway has a payment with our marks that is not in these tables'
            || ' (another installation on the same account?). Cancel or refund it there, unless it is.'
        when 'second_payment' then 'The gateway has a second payment for one attempt to pay. Cancel or'
            || ' refund this one there; the one in our tables counts.'
        when 'capture_missing' then 'We have written down a payment as captured, and the gateway says that'
            || ' it is not. Find out where the money is; if nowhere, ask the buyer or cancel the tickets.'
        when 'other_money' then 'The gateway has taken another sum than we have written down. Refund the'
            || ' difference there, or ask the buyer for it.'
        when 'payment_missing' then 'The gateway does not know of a payment of ours. Was its account, or'
            || ' its key (STRIPE_API_KEY), changed? Then put back the old one.'
        when 'other_refund' then 'The gateway has given back another sum than we have written down.'
            || ' Refund the rest there, or settle it with the buyer.'
        when 'refund_went_through' then 'A refund that failed here went through at the gateway. Do not pay'
            || ' it again; settle the one that is owed (.../refunds/{refund}/settlement).'
        when 'refund_missing' then 'The gateway does not know of a refund of ours: the buyer has not got'
            || ' it. Make it there; it is adopted by itself.'
        when 'dispute_missing' then 'The gateway does not know of a dispute of ours. Was its account, or'
            || ' its key (STRIPE_API_KEY), changed? Then put back the old one.'
        else format('Its repair, %s, was carried out and did not help: compare both sides, and mend the'
            ' one that is wrong.', d.repair) end
$$;

/* Sends the repair of a difference on its way. Money that is owed to nobody's seats goes back at once;
   all others are tasks, which look at what the gateway has. */
create or replace function send_repair(d difference) returns void language plpgsql as $$
begin
    if d.repair = 'return_money' then
        perform return_money(d.payment_id, 'late_money');
    else
        perform enqueue(d.repair, 'bookings', d.key, d.args, d.event_id, p_priority => 80);
    end if;
end $$;

/* The dead letter of a difference. No task: there is nothing to try again. */
create or replace function write_letter(d difference, p_first timestamptz) returns bigint
language sql as $$
    insert into dead_letters (task_id, actor, queue, key, args, event_id, booking_id, reason, claims,
        errors, created_at)
    values (0, 'reconcile', 'bookings', d.kind || ' ' || d.subject,
        jsonb_strip_nulls(d.args || jsonb_build_object('here', d.here, 'there', d.there)), d.event_id,
        d.booking_id, format('%s %s: %s', d.kind, d.subject, advise(d)), 1, '[]', p_first)
    returning id
$$;

/* Writes a difference down, once for as long as it lasts, and has it repaired; one whose repair did not
   help, or that has none, becomes a dead letter, and another only if it changes after that was closed.
   Returns what was done: 'repair', 'dead_letter', 'known', or null while it is in flight. */
create or replace function note_difference(p_run bigint, d difference) returns text
language plpgsql as $$
declare
    known reconciliation_differences;
    told boolean;
    done text := 'known';
begin
    if not d.in_flight then
        insert into reconciliation_differences (gateway_account_id, kind, subject, made_at, event_id,
            booking_id, payment_id, here, there, repair, found_by, seen_by)
        select gateway_account_id, d.kind, d.subject, d.made_at, d.event_id, d.booking_id, d.payment_id,
            d.here, d.there, d.repair, p_run, p_run
        from reconciliations where id = p_run
        on conflict (kind, subject) where resolved_at is null do nothing;
    end if;
    select * into known from reconciliation_differences
    where kind = d.kind and subject = d.subject and resolved_at is null for update;
    if known.id is null then
        return null;
    end if;
    told := exists (select from dead_letters l where l.id = known.dead_letter_id
        and (l.resolved_at is null or (known.here, known.there) is not distinct from (d.here, d.there)));
    update reconciliation_differences
    set seen_by = p_run, seen_at = clock_timestamp(), here = d.here, there = d.there
    where id = known.id;
    if d.in_flight then
        return null;
    elsif d.repair is not null and known.repairs < 2 then
        perform send_repair(d);
        update reconciliation_differences set repairs = repairs + 1 where id = known.id;
        done := 'repair';
    elsif not told then
        update reconciliation_differences set dead_letter_id = write_letter(d, known.found_at)
        where id = known.id;
        done := 'dead_letter';
    end if;
    insert into audit_log (actor, action, event_id, detail)
    select coalesce(nullif(current_setting('usher.actor', true), ''), current_user),
        'difference ' || case done when 'repair' then 'repaired' else 'reported' end, d.event_id,
        jsonb_build_object('reconciliation', p_run, 'kind', d.kind, 'subject', d.subject,
            'repair', d.repair, 'here', d.here, 'there', d.there)
    where done <> 'known';
    return done;
end $$;

/* All differences of a page; the run counts them. */
create or replace function note_differences(p_run bigint, p_found difference[]) returns void
language plpgsql as $$
declare
    done constant text[] := array(
        select note_difference(p_run, d) from unnest(p_found) d);
begin
    update reconciliations
    set differences = differences + (select count(x) from unnest(done) x),
        repairs = repairs + (select count(*) from unnest(done) x where x = 'repair'),
        dead_letters = dead_letters + (select count(*) from unnest(done) x where x = 'dead_letter')
    where id = p_run;
end $$;

/* Adds what a page has of money to the run's totals; in the phases of ours, p_there is [{ours: id}] of
   what the gateway does not know of. */
create or replace function add_totals(p_run bigint, p_account bigint, p_phase text, p_there jsonb)
returns void language sql set enable_seqscan = off set jit = off as $$
    insert into reconciliation_totals as t
        (reconciliation_id, currency, captured_here, captured_there, refunded_here, refunded_there)
    select p_run, s.currency, sum(s.captured_here), sum(s.captured_there), sum(s.refunded_here),
        sum(s.refunded_there)
    from (
        select g.currency, 0 as captured_here, g.captured as captured_there, 0 as refunded_here,
            0 as refunded_there
        from jsonb_to_recordset(p_there) g(currency text, captured bigint, payment_id uuid)
        where p_phase = 'payments' and g.payment_id is not null and not is_archived(g.payment_id)
        union all
        select coalesce(p.captured_currency, p.currency), p.captured, 0, 0, 0
        from jsonb_to_recordset(p_there) g(id text, payment_id uuid)
        join payments p on p.id = g.payment_id and p.gateway_id = g.id
        where p_phase = 'payments'
        union all
        select g.currency, 0, 0, 0, case when g.state = 'failed' then 0 else g.amount end
        from jsonb_to_recordset(p_there) g(currency text, state text, amount bigint, payment_gateway_id text)
        join payments p on p.gateway_id = g.payment_gateway_id
            and p.gateway_account_id = any (array(select books_of(p_account)))
        where p_phase = 'refunds'
        union all
        select r.currency, 0, 0, case when r.state = 'failed' then 0 else r.amount end, 0
        from jsonb_to_recordset(p_there) g(id text)
        join refunds r on r.gateway_id = g.id
        where p_phase = 'refunds'
        union all
        select p.currency, p.captured, 0, 0, 0
        from jsonb_to_recordset(p_there) g(ours text) join payments p on p.id = g.ours::uuid
        where p_phase = 'our payments'
        union all
        select r.currency, 0, 0, r.amount, 0
        from jsonb_to_recordset(p_there) g(ours text) join refunds r on r.id = g.ours::uuid
        where p_phase = 'our refunds') s
    group by s.currency
    on conflict (reconciliation_id, currency) do update
    set captured_here = t.captured_here + excluded.captured_here,
        captured_there = t.captured_there + excluded.captured_there,
        refunded_here = t.refunded_here + excluded.refunded_here,
        refunded_there = t.refunded_there + excluded.refunded_there;
$$;

/* Begins a run for each account at the gateway, unless the clock's last one is still under way; one whose
   task was thrown away is given up. Returns their ids; none where the window is empty. */
create or replace function start_reconciliations(
    p_cause text, p_from timestamptz, p_to timestamptz) returns bigint[] language plpgsql as $$
declare
    begun bigint[];
begin
    update reconciliations r set state = 'abandoned', finished_at = clock_timestamp()
    where r.state = 'running' and not is_under_way('reconcile', r.id::text);
    with runs as (
        insert into reconciliations (gateway_account_id, cause, requested_by, window_from, window_to)
        select min(a.id), p_cause,
            coalesce(nullif(current_setting('usher.actor', true), ''), current_user),
            greatest(p_from, to_timestamp(0)), least(p_to, clock_timestamp())
        from gateway_accounts a
        where a.provider <> 'offline'
            and greatest(p_from, to_timestamp(0)) < least(p_to, clock_timestamp())
        group by a.provider, a.external_account
        on conflict (gateway_account_id, cause) where state = 'running' and cause <> 'asked' do nothing
        returning id
    )
    select array_agg(id) into begun from runs;
    perform enqueue('reconcile', 'bookings', id::text, jsonb_build_object('reconciliation_id', id),
        p_priority => 80)
    from unnest(begun) id;
    return begun;
end $$;

/* The end of a run: what it had to see, and did not, is gone. */
create or replace function finish_reconciliation(p_run bigint) returns void language plpgsql as $$
declare
    run reconciliations;
    gone bigint[];
begin
    update reconciliations set state = 'finished', finished_at = clock_timestamp()
    where id = p_run and state = 'running' returning * into run;
    with resolved as (
        update reconciliation_differences set resolved_at = clock_timestamp()
        where resolved_at is null and gateway_account_id = run.gateway_account_id
            and seen_at < run.started_at and made_at >= run.window_from and made_at < run.window_to
        returning dead_letter_id, event_id, kind, subject
    ), noted as (
        insert into audit_log (actor, action, event_id, detail)
        select coalesce(nullif(current_setting('usher.actor', true), ''), current_user),
            'difference gone', event_id,
            jsonb_build_object('reconciliation', p_run, 'kind', kind, 'subject', subject)
        from resolved
    )
    select array_agg(dead_letter_id) into gone from resolved;
    update dead_letters set resolved_at = clock_timestamp(),
        resolution = format('gone, says reconciliation %s', p_run)
    where id = any (gone) and resolved_at is null;
    delete from reconciliation_seen where reconciliation_id = p_run;
end $$;
