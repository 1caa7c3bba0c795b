/* Refuses changes to receipts. */
create or replace function refuse_receipt_changes() returns trigger language plpgsql as $$
begin
    raise exception 'receipts are append-only: another document corrects an error';
end $$;

create or replace trigger receipts_append_only before update or delete on receipts
    for each statement execute function refuse_receipt_changes();
