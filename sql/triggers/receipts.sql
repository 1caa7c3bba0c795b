/* Refuses changes to receipts, but for the reason of a refund, which people wrote in their own words: it is
   erased with the buyer's data. The figures stay. */
create or replace function refuse_receipt_changes() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.breakdown = old.breakdown || '{"reason": ""}'
        and to_jsonb(new) - array['breakdown', 'previous', 'kind']  -- the latter two are computed later
            = to_jsonb(old) - array['breakdown', 'previous', 'kind']
    then
        return new;
    end if;
    raise exception 'receipts are append-only: another document corrects an error';
end $$;

create or replace trigger receipts_append_only before update or delete on receipts
    for each row execute function refuse_receipt_changes();
