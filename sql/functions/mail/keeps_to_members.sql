/* Tells whether a mail may be sent: one about an event in test mode goes only to an address of a member of its
   organisation. */
create or replace function keeps_to_members(p_email uuid) returns boolean language sql stable as $$
    select not coalesce(v.is_test, false)
        or is_members_address(v.organisation_id, coalesce(booking_address(m.event_id, m.booking_id), b.email))
    from emails m join buyers b on b.id = m.buyer_id left join events v on v.id = m.event_id
    where m.id = p_email
$$;

/* Tells whether an address is that of an account that works for the organisation. */
create or replace function is_members_address(p_organisation bigint, p_email text) returns boolean
language sql stable as $$
    select exists (
        select from buyers b join memberships s on s.account_id = b.id
        where lower(b.email) = lower(p_email) and s.organisation_id = p_organisation and s.ended_at is null)
$$;
