/* Locks a membership that has not ended, after its organisation, in which another one is then neither changed
   nor ended. Null: there is none. p_organisation: null: any. */
create or replace function lock_membership(p_membership bigint, p_organisation bigint)
returns memberships language plpgsql as $$
declare
    found memberships;
begin
    perform from organisations
    where id = (select organisation_id from memberships where id = p_membership) for no key update;
    select * into found from memberships
    where id = p_membership and ended_at is null
        and (p_organisation is null or organisation_id = p_organisation)
    for update;
    return found;
end $$;
