/* Whether a buyer has proven to read the mail of the account's address. */
create or replace function is_verified(p_buyer bigint) returns boolean language sql stable as $$
    select verified_at is not null from accounts where id = p_buyer
$$;
