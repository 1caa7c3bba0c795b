/* Tries a code, which counts whether it is right or not: it has to be committed. Returns the account that the
   code proves, or null: it is wrong, or was used, or five were tried, or ten minutes are over. */
create or replace function try_code(p_request bytea, p_purpose text, p_hash bytea) returns bigint
language sql as $$
    with tried as (
        update mailed_codes
        set tries = tries + 1, used_at = case when code_sha256 = p_hash then clock_timestamp() end
        where request_sha256 = p_request and purpose = p_purpose and used_at is null and tries < 5
            and created_at > clock_timestamp() - interval '10 min'
        returning account_id, used_at
    )
    select account_id from tried where used_at is not null
$$;
