/* Tries codes of one request, one for each purpose, which counts whether they are right or not: it has to be
   committed. Returns the account that they prove, or null: one is wrong or was used, or five were tried, or ten
   minutes are over. All of them are used, or none. */
create or replace function try_codes(p_request bytea, p_purposes text[], p_hashes bytea[]) returns bigint
language plpgsql as $$
declare
    account bigint;
    good integer;
begin
    with tried as (
        update mailed_codes c set tries = c.tries + 1
        from unnest(p_purposes, p_hashes) given(purpose, hash)
        where c.request_sha256 = p_request and c.purpose = given.purpose and c.used_at is null and c.tries < 5
            and c.created_at > clock_timestamp() - interval '10 min'
        returning c.account_id, c.code_sha256 = given.hash as is_right
    )
    select min(account_id), count(*) filter (where is_right) into account, good from tried;
    if good < cardinality(p_purposes) then
        return null;
    end if;
    update mailed_codes set used_at = clock_timestamp()
    where request_sha256 = p_request and purpose = any (p_purposes);
    return account;
end $$;
