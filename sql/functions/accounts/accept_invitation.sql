/* Makes an invited account a member. Its address has to be proven, and the code is from its mail: an account
   that another person made for the address opens nothing. Returns 'done', 'missing' (also when it was ended,
   accepted or is over), 'not_verified' or 'already_member'. */
create or replace function accept_invitation(p_account bigint, p_code_sha256 bytea) returns text
language plpgsql as $$
declare
    invited invitations;
begin
    select * into invited from invitations
    where code_sha256 = p_code_sha256 and account_id = p_account and accepted_at is null and ended_at is null
        and expires_at > clock_timestamp()
    for update;
    if not found then
        return 'missing';
    end if;
    if not is_verified(p_account) then
        return 'not_verified';
    end if;
    insert into memberships (account_id, organisation_id, role)
    values (p_account, invited.organisation_id, invited.role)
    on conflict (account_id, organisation_id) where ended_at is null do nothing;
    if not found then
        return 'already_member';
    end if;
    update invitations set accepted_at = clock_timestamp() where id = invited.id;
    perform audit('invitation accepted', null, jsonb_build_object('invitation_id', invited.id, 'role', invited.role),
        invited.organisation_id, p_account);
    return 'done';
end $$;
