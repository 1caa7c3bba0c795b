/* Ends what a member has given others, or has seen of it: API keys that the person was shown, and invitations that
   are open. Of an operator, in all organisations. */
create or replace function end_grants(p_member memberships) returns void language sql as $$
    update api_keys set revoked_at = clock_timestamp()
    where account_id = p_member.account_id and revoked_at is null
        and (p_member.organisation_id is null or organisation_id = p_member.organisation_id);
    update api_keys set old_until = least(old_until, clock_timestamp())
    where old_account_id = p_member.account_id
        and (p_member.organisation_id is null or organisation_id = p_member.organisation_id);
    update invitations set ended_at = clock_timestamp()
    where inviter_id = p_member.account_id
        and (p_member.organisation_id is null or organisation_id = p_member.organisation_id)
        and accepted_at is null and ended_at is null;
$$;
