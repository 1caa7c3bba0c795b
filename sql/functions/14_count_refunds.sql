/* payments.refunded is the sum of a payment's refunds that have not failed: counted here and nowhere
   else, so that its constraint (never more than was captured) holds whoever writes a refund. */
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
    -- Locked first: what others have committed meanwhile is seen by the next statement only.
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
