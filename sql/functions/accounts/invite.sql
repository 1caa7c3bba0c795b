/* Invites an account into an organisation, by mail; an earlier invitation of it there ends. p_inviter: who
   invites, if it is a person: no longer possible when that person is just no owner any more. Returns the invitation's
   id; null: the inviter is none. */
create or replace function invite(
    p_organisation bigint, p_account bigint, p_role text, p_inviter bigint, p_code_sha256 bytea, p_mail jsonb)
returns bigint language plpgsql as $$
declare
    made bigint;
begin
    if p_inviter is not null and not stays_owner(p_inviter, p_organisation) then
        return null;
    end if;
    update invitations set ended_at = clock_timestamp()
    where account_id = p_account and organisation_id is not distinct from p_organisation
        and accepted_at is null and ended_at is null;
    insert into invitations (organisation_id, account_id, role, inviter_id, code_sha256)
    values (p_organisation, p_account, p_role, p_inviter, p_code_sha256)
    returning id into made;
    perform mail_staff(p_account, 'invited', p_mail);
    perform audit('invited', null, jsonb_build_object('invitation_id', made, 'role', p_role), p_organisation,
        p_account);
    return made;
end $$;
