/* Erases the personal data of an account, if nothing is under way: bookings stay as figures. Returns why it has
   to wait, see erasure_blocks; empty: it is done, now or before. Null: there is no such account.

   What is replaced in the rows of a booking, erased_values says, for the live tables and for the archive. Lock
   order: bookings, account. */
create or replace function erase_account(p_account bigint) returns text[]
language plpgsql set jit = off as $$
declare
    because text[];
begin
    perform from bookings where buyer_id = p_account order by event_id, id for update;
    perform from accounts where id = p_account for update;
    if not found then
        return null;
    elsif is_erased(p_account) then
        return '{}';
    end if;
    because := erasure_blocks(p_account);
    if because <> '{}' then
        return because;
    end if;
    perform erase_bookings(p_account);
    delete from mailboxes where mailbox = (select mailbox_of(email) from buyers where id = p_account);
    -- The export first: a task that is writing a part of it is waited for.
    delete from personal_exports where account_id = p_account;
    delete from personal_export_parts where account_id = p_account;
    perform erase_person(p_account);
    perform audit('account erased', null, '{}', null, p_account);
    return '{}';
end $$;
