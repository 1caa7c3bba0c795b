/* Returns who acts: a role and an id ("buyer:7"), or the database user of a manual session. */
create or replace function acting() returns text language sql stable as $$
    select coalesce(nullif(current_setting('usher.acting', true), ''), current_user)
$$;
