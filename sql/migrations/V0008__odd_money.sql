/* Money that came for a payment that was written down as failed, or another amount or currency than was
   asked for: all of it goes back, so it is written down as what it is. */
do $$
declare
    name text;
begin
    select conname into strict name from pg_constraint
    where conrelid = 'payments'::regclass and contype = 'c'
        and pg_get_constraintdef(oid) = 'CHECK (((captured >= 0) AND (captured <= amount)))';
    execute format('alter table payments drop constraint %I', name);
end $$;
alter table payments
    add column captured_currency char(3),
    add constraint payments_captured check (captured >= 0
        and (captured <= amount and captured_currency is null or state = 'failed'));
