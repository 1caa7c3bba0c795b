/* Whether an account may make keys and invite people: as an owner of an organisation, or as an operator; and stays
   it until this transaction ends: who leaves or gets another role waits for it, and then loses what it has made. */
create or replace function stays_owner(p_account bigint, p_organisation bigint) returns boolean
language plpgsql as $$
begin
    perform from memberships
    where account_id = p_account and ended_at is null
        and (role = 'operator' or role = 'owner' and organisation_id = p_organisation)
    for share;
    return found;
end $$;
