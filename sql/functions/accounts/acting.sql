/* Who acts, by role and id ("buyer:7"), or a database user at work by hand. */
create or replace function acting() returns text language sql stable as $$
    select coalesce(nullif(current_setting('usher.acting', true), ''), current_user)
$$;
