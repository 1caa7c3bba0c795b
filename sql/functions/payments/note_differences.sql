/* Records all differences of a page, and counts them in the run. */
create or replace function note_differences(p_run bigint, p_found difference[]) returns void
language plpgsql as $$
declare
    done text[];
begin
    -- Tasks come before all that is locked here.
    perform enqueue_all('payments', array_agg(d.repair), array_agg(d.key), array_agg(d.args),
        array_agg(d.event_id), 80)
    from unnest(p_found) d
    where d.repair <> 'refund_unexpected' and not d.in_flight and not exists (
        select from reconciliation_differences r
        where (r.kind, r.subject) = (d.kind, d.subject) and r.resolved_at is null and r.repairs >= 2)
    having count(*) > 0;
    done := array(select note_difference(p_run, d) from unnest(p_found) d order by d.event_id, d.booking_id);
    update reconciliations
    set differences = differences + (select count(x) from unnest(done) x),
        repairs = repairs + (select count(*) from unnest(done) x where x = 'repair'),
        dead_letters = dead_letters + (select count(*) from unnest(done) x where x = 'dead_letter')
    where id = p_run;
end $$;

/* Records a difference, once for as long as it lasts, and starts its repair: an unexpected payment is
   refunded at once; every other repair is a task that asks the gateway, which is enqueued already. If the repair did not help, or
   there is none, it becomes a dead letter; after that is closed, it becomes another one only if it changes.
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
        if d.repair = 'refund_unexpected' then
            perform refund_unexpected(d.event_id, d.payment_id, 'late_money');
        end if;
        update reconciliation_differences set repairs = repairs + 1 where id = known.id;
        done := 'repair';
    elsif not told then
        update reconciliation_differences set dead_letter_id = write_dead_letter(d, known.found_at)
        where id = known.id;
        done := 'dead_letter';
    end if;
    if done <> 'known' then
        perform audit('difference ' || case done when 'repair' then 'repaired' else 'reported' end,
            d.event_id, jsonb_build_object('reconciliation', p_run, 'kind', d.kind,
                'subject', d.subject, 'repair', d.repair, 'here', d.here, 'there', d.there));
    end if;
    return done;
end $$;

/* Adds the dead letter of a difference. It has no task, because there is nothing to try again. */
create or replace function write_dead_letter(d difference, p_first timestamptz) returns bigint
language sql as $$
    insert into dead_letters (task_id, actor, queue, key, args, event_id, booking_id, reason, claims,
        errors, created_at)
    values (0, 'reconcile', 'maintenance', d.kind || ' ' || d.subject,
        jsonb_strip_nulls(d.args || jsonb_build_object('here', d.here, 'there', d.there)), d.event_id,
        d.booking_id, format('%s %s: %s', d.kind, d.subject, advise(d)), 1, '[]', p_first)
    returning id
$$;

/* Says what a person has to do about a difference that cannot be repaired automatically. */
create or replace function advise(d difference) returns text language sql immutable as $$
    select case d.kind
        when 'unknown_payment' then 'The gateway has a payment with metadata of Usher that is not in these'
            || ' tables. If no other installation uses the same account, cancel or refund it there.'
        when 'second_payment' then 'The gateway has a second payment for one attempt to pay. Cancel or'
            || ' refund this one there; the one in the tables counts.'
        when 'capture_missing' then 'A payment is captured in the tables, but not at the gateway. Find out'
            || ' where the money is. If there is none, ask the buyer or cancel the tickets.'
        when 'other_money' then 'The gateway has captured another amount than the tables say. Refund the'
            || ' difference there, or ask the buyer for it.'
        when 'payment_missing' then 'The gateway does not know a payment in the tables. Was the account or'
            || ' the key (STRIPE_API_KEY) changed? Then set the old one again.'
        when 'other_refund' then 'The gateway has refunded another amount than the tables say. Refund the'
            || ' rest there, or settle it with the buyer.'
        when 'refund_went_through' then 'A refund that failed here succeeded at the gateway. Do not pay it'
            || ' again: settle the one that is owed (.../refunds/{refund}/settlement).'
        when 'refund_missing' then 'The gateway does not know a refund in the tables: the buyer has not got'
            || ' the money. Make the refund there; Usher will adopt it.'
        when 'dispute_missing' then 'The gateway does not know a dispute in the tables. Was the account or'
            || ' the key (STRIPE_API_KEY) changed? Then set the old one again.'
        else format('The repair, %s, was done and did not help: compare both sides, and correct the wrong'
            ' one.', d.repair) end
$$;
