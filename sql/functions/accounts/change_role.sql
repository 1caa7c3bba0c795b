/* Gives a member another role, from the next request on. Who is no owner any more loses the keys that it was shown
   and the invitations that it has sent: with them it would stay one. Returns 'done', 'missing' or 'last_owner'. */
create or replace function change_role(p_membership bigint, p_organisation bigint, p_role text)
returns text language plpgsql as $$
declare
    before memberships;
begin
    before := lock_membership(p_membership, p_organisation);
    if before.id is null then
        return 'missing';
    end if;
    if p_role <> 'owner' and is_last_owner(before) then
        return 'last_owner';
    end if;
    update memberships set role = p_role where id = before.id;
    if before.role = 'owner' and p_role <> 'owner' then
        perform end_grants(before);
    end if;
    perform audit('role changed', null, jsonb_build_object('membership_id', before.id,
        'role', jsonb_build_object('from', before.role, 'to', p_role)), before.organisation_id, before.account_id);
    return 'done';
end $$;
