/* The guids of seats by their numbers in a plan version, without those that it has not. Null for null. */
create or replace function name_seats(p_version bigint, p_seats integer[]) returns text[]
language sql stable as $$
    select case when p_seats is not null then array(
        select guid from plan_seats where plan_version_id = p_version and seat = any (p_seats)) end
$$;
