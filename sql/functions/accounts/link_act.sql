/* Computes the hash of an act in its organisation's chain, from the hash before it (null: it is the first). */
create or replace function link_act(p_before bytea, p_number bigint, p_act audit_log) returns bytea
language sql immutable as $$
    select sha256(coalesce(p_before, '') || convert_to(jsonb_build_array(
        p_number, p_act.id, (extract(epoch from p_act.at) * 1000000)::bigint, p_act.actor, p_act.action,
        p_act.organisation_id, p_act.event_id, p_act.account_id, encode(p_act.personal_mac, 'hex'),
        p_act.detail)::text, 'UTF8'))
$$;
