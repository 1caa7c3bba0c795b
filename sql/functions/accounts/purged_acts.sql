/* Returns up to which number an organisation's chain was purged, and the hash of that link; 0: never. */
create or replace function purged_acts(p_organisation bigint, out through bigint, out hash bytea)
language sql stable as $$
    select coalesce(max((detail ->> 'through')::bigint), 0), decode(
        (array_agg(detail ->> 'hash' order by (detail ->> 'through')::bigint desc))[1], 'hex')
    from audit_log
    where action = 'acts purged' and organisation_id is not distinct from nullif(p_organisation, 0)
$$;
