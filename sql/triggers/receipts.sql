create or replace function refuse_receipt_changes() returns trigger language plpgsql as $$
begin
    raise exception 'receipts are append-only: what is wrong is corrected by another document';
end $$;

create or replace trigger receipts_append_only before update or delete on receipts
    for each statement execute function refuse_receipt_changes();
