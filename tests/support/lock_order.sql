-- Tests only: refuses each enqueue with a key that comes after a lock which a worker takes after its task.
-- Locks of rows are not visible from SQL, but the locks of their tables are, until the transaction ends.
create function check_lock_order() returns trigger language plpgsql as $$
declare
    locked text;
begin
    select string_agg(distinct c.relname || ' ' || l.mode, ', ') into locked
    from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = pg_backend_pid() and l.granted
        and l.mode in ('RowShareLock', 'RowExclusiveLock')
        and c.relname in ('lanes', 'lane_state', 'entries', 'bookings', 'payments', 'refunds', 'seats');
    if locked is null
        -- It has this task already, so it waits for no other worker.
        or exists (select from outbox where (actor, key) = (new.actor, new.key)
            and xmax::text::bigint = pg_current_xact_id()::text::bigint % 4294967296)
        -- No other transaction can know the key before this one has committed.
        or new.actor = 'refund' and exists (select from refunds where id::text = new.key
            and xmin::text::bigint = pg_current_xact_id()::text::bigint % 4294967296)
    then
        return new;
    end if;
    raise exception 'the task % % is enqueued after locks of %', new.actor, new.key, locked;
end $$;

create trigger check_lock_order before insert on outbox
for each row when (new.key is not null) execute function check_lock_order();
