/* Whether the personal data of an account were erased. */
create or replace function is_erased(p_account bigint) returns boolean language sql stable as $$
    select erased_at is not null from accounts where id = p_account
$$;
