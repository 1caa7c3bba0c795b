/* What calls for a receipt, or for what corrects one, is noted in the transaction in which it happens,
   whoever does it; tasks/receipts.py gives it its number later. */
create or replace function note_receipt() returns trigger language plpgsql as $$
begin
    insert into receipts_due (organisation_id, event_id, booking_id, occasion)
    values (new.organisation_id, new.event_id, new.id, 'confirmed');
    return null;
end $$;

create or replace trigger bookings_receipt_due after update of confirmed_at on bookings
    for each row when (old.confirmed_at is null and new.confirmed_at is not null and new.total > 0)
    execute function note_receipt();

/* Money that came for a booking without being its payment has no receipt, and its refund no note. */
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
        and (tg_op = 'UPDATE' or not exists (select from receipts r where r.refund_id = new.id));
    return null;
end $$;

create or replace trigger refunds_receipt_due after update of state, settled_at on refunds
    for each row when (new.state <> old.state and 'succeeded' in (new.state, old.state)
        or old.settled_at is null and new.settled_at is not null)
    execute function note_credit();

/* One that was made elsewhere may have succeeded before we know of it; one that comes back from the
   archive has its note. */
create or replace trigger refunds_receipt_due_at_birth after insert on refunds
    for each row when (new.state = 'succeeded') execute function note_credit();

create or replace function refuse_receipt_changes() returns trigger language plpgsql as $$
begin
    raise exception 'receipts are append-only: what is wrong is corrected by another document';
end $$;

create or replace trigger receipts_append_only before update or delete on receipts
    for each statement execute function refuse_receipt_changes();
