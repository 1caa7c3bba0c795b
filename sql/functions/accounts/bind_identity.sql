/* Accepts an invitation of an organisation as an identity of its provider, which signs in as this member from now on,
   instead of one before, whose sessions end. The code is from the invitation's mail; what the provider says of addresses decides nothing
   but this: an address that was never proven counts as proven if the provider, too, has proven that it is this
   person's (p_email; null: it has not). Returns 'done', 'provider_changed', 'identity_taken', or as
   accept_invitation does. */
create or replace function bind_identity(
    p_organisation bigint, p_issuer text, p_subject text, p_code_sha256 bytea, p_email text)
returns text language plpgsql as $$
declare
    invited invitations;
    outcome text;
    member bigint;
begin
    perform from identity_providers where organisation_id = p_organisation and issuer = p_issuer for no key update;
    if not found then
        return 'provider_changed';
    end if;
    select * into invited from invitations
    where code_sha256 = p_code_sha256 and organisation_id = p_organisation and accepted_at is null
        and ended_at is null and expires_at > clock_timestamp()
    for update;
    if not found then
        return 'missing';
    end if;
    if exists (select from identities i join memberships m on m.id = i.membership_id
            where i.organisation_id = p_organisation and i.issuer = p_issuer and i.subject = p_subject
                and m.account_id <> invited.account_id) then
        return 'identity_taken';
    end if;
    if exists (select from buyers where id = invited.account_id and lower(email) = lower(p_email)) then
        perform verify_account(invited.account_id);
    end if;
    outcome := accept_invitation(invited.account_id, p_code_sha256);
    if outcome = 'already_member' then
        update invitations set accepted_at = clock_timestamp() where id = invited.id;
    elsif outcome <> 'done' then
        return outcome;
    end if;
    select id into member from memberships
    where account_id = invited.account_id and organisation_id = p_organisation and ended_at is null
    for update;
    if not found then
        return 'missing';
    end if;
    delete from identities where membership_id = member;
    if found then
        update sessions set ended_at = clock_timestamp()
        where account_id = invited.account_id and organisation_id = p_organisation and ended_at is null;
    end if;
    insert into identities (organisation_id, issuer, subject, membership_id)
    values (p_organisation, p_issuer, p_subject, member);
    perform audit('identity bound', null, jsonb_build_object('membership_id', member, 'issuer', p_issuer),
        p_organisation, invited.account_id);
    perform tell_change(invited.account_id, 'identity_bound');
    return 'done';
end $$;
