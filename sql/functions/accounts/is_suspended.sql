/* Tells whether an operator has suspended an organisation. */
create or replace function is_suspended(p_organisation bigint) returns boolean language sql stable as $$
    select suspended_at is not null from organisations where id = p_organisation
$$;
