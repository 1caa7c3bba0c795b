/* Ends a membership. The person loses sessions, keys, invitations and the identity at once. Returns 'done', 'missing', or
   'last_owner': an organisation keeps one. Two owners who leave at the same time come one after the other,
   since each locks the organisation. p_organisation: null: any. */
create or replace function end_membership(p_membership bigint, p_organisation bigint default null)
returns text language plpgsql as $$
declare
    gone memberships;
begin
    gone := lock_membership(p_membership, p_organisation);
    if gone.id is null then
        return 'missing';
    end if;
    if is_last_owner(gone) then
        return 'last_owner';
    end if;
    update memberships set ended_at = clock_timestamp() where id = gone.id;
    delete from identities where membership_id = gone.id;
    perform end_grants(gone);
    update invitations set ended_at = clock_timestamp()
    where account_id = gone.account_id
        and (gone.organisation_id is null or organisation_id = gone.organisation_id)
        and accepted_at is null and ended_at is null;
    perform end_sessions(gone.account_id);
    perform audit('membership ended', null, jsonb_build_object('membership_id', gone.id, 'role', gone.role),
        gone.organisation_id, gone.account_id);
    return 'done';
end $$;
