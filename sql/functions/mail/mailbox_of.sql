/* Returns the mailbox of an address, as limits count it: without what follows a plus, and without dots, which
   large providers ignore. A hash, so that no table of counts holds an address. */
create or replace function mailbox_of(p_email text) returns bigint language sql immutable as $$
    select hashtextextended(
        replace(regexp_replace(regexp_replace(lower(p_email), '@[^@]*$', ''), '\+.*', ''), '.', '')
        || coalesce(substring(lower(p_email) from '@[^@]*$'), ''), 0)
$$;
