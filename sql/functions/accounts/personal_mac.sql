/* Computes the HMAC under which personal values are in the audit chain. Null: no key or no values. */
create or replace function personal_mac(p_key bytea, p_personal jsonb) returns bytea
language sql immutable as $$
    select hmac_sha256(hmac_block(p_key, 54), hmac_block(p_key, 92), convert_to(p_personal::text, 'UTF8'))
$$;
