/* Whether a membership is the only one of an owner in its organisation, which is locked. */
create or replace function is_last_owner(p_membership memberships) returns boolean language sql stable as $$
    select p_membership.role = 'owner' and not exists (
        select from memberships
        where organisation_id = p_membership.organisation_id and role = 'owner' and ended_at is null
            and id <> p_membership.id)
$$;
