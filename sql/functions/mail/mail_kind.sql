/* Returns what a mail is: 'code', which signs in; 'notice', which only tells what its reader did or can see;
   or 'needed': money, a ticket or the account depends on it. */
create or replace function mail_kind(p_template text) returns text language sql immutable as $$
    select case
        when p_template in ('sign_in', 'old_address', 'new_address', 'merge') then 'code'
        when p_template in ('held', 'expired', 'cancelled', 'in_review', 'invited') then 'notice'
        else 'needed' end
$$;
