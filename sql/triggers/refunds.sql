create or replace trigger refunds_moves after update on refunds
    referencing old table as old_rows new table as new_rows
    for each statement execute function check_moves('refund', 'logged');

create or replace trigger refunds_birth after insert on refunds
    referencing new table as new_rows
    for each statement execute function log_birth('refund');

/* Keeps payments.refunded equal to the sum of the payment's refunds that have not failed. Only this trigger
   writes it, so that its constraint (never more than was captured) holds for every writer. */
create or replace function count_refunds() returns trigger language plpgsql
set enable_seqscan = off as $$
declare
    touched uuid[];
begin
    if tg_op = 'DELETE' then
        touched := array(select distinct payment_id from old_rows);
    else
        touched := array(select distinct payment_id from new_rows);
    end if;
    -- Locks first: only the next statement sees what other transactions have committed meanwhile.
    perform from payments where id = any (touched) order by id for update;
    update payments p set refunded = r.amount
    from (select t.id, coalesce(sum(f.amount) filter (where f.state <> 'failed'), 0) as amount
          from unnest(touched) t(id) left join refunds f on f.payment_id = t.id group by t.id) r
    where p.id = r.id and p.refunded <> r.amount;
    return null;
end $$;

create or replace trigger refunds_counted_insert after insert on refunds
    referencing new table as new_rows for each statement execute function count_refunds();

create or replace trigger refunds_counted_update after update on refunds
    referencing new table as new_rows for each statement execute function count_refunds();

create or replace trigger refunds_counted_delete after delete on refunds
    referencing old table as old_rows for each statement execute function count_refunds();

/* Notes that a credit note or its reversal is due. An unexpected payment has no receipt, so its refund has
   no credit note. */
create or replace function note_credit() returns trigger language plpgsql
set enable_seqscan = off as $$
begin
    insert into receipts_due (organisation_id, event_id, booking_id, refund_id, occasion)
    select b.organisation_id, b.event_id, b.id, new.id, case
        when new.state = 'succeeded' then 'refunded'
        when old.state = 'succeeded' then 'refund_failed'
        else 'refund_settled' end
    from bookings b
    where b.event_id = new.event_id and b.id = new.booking_id and b.payment_id = new.payment_id
        and b.confirmed_at is not null
        and (tg_op = 'UPDATE' or not exists (select from receipts r where r.refund_id = new.id))
        and not exists (select from events v where v.id = b.event_id and v.is_test);
    return null;
end $$;

create or replace trigger refunds_receipt_due after update of state, settled_at on refunds
    for each row when (new.state <> old.state and 'succeeded' in (new.state, old.state)
        or old.settled_at is null and new.settled_at is not null)
    execute function note_credit();

/* An adopted refund may have succeeded before it is inserted; a refund that is restored from the archive
   has its note already. */
create or replace trigger refunds_receipt_due_at_birth after insert on refunds
    for each row when (new.state = 'succeeded') execute function note_credit();
