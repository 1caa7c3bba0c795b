/* Locks the row of a dead letter's task, if there still is one (lives), and then the dead letter. */
create or replace function lock_dead_letter(p_dead_letter bigint, out letter dead_letters, out lives boolean)
language plpgsql as $$
begin
    perform from outbox
    where id = (select l.task_id from dead_letters l where l.id = p_dead_letter) for update;
    lives := found;
    select * into letter from dead_letters where id = p_dead_letter for update;
end $$;
