/* Computes HMAC-SHA256. p_inner: the block with pad 54 (0x36); p_outer: the block with pad 92 (0x5c). */
create or replace function hmac_sha256(p_inner bytea, p_outer bytea, p_message bytea) returns bytea
language sql immutable parallel safe as $$
    select sha256(p_outer || sha256(p_inner || p_message))
$$;
