/* Whether an account is a member of an organisation, or an operator, and stays it until this transaction ends:
   who leaves waits for it, and then loses what it has made. */
create or replace function stays_member(p_account bigint, p_organisation bigint) returns boolean
language plpgsql as $$
begin
    perform from memberships
    where account_id = p_account and ended_at is null
        and (organisation_id is null or organisation_id = p_organisation)
    for share;
    return found;
end $$;
