/* Whether money can be reserved with a method before it is taken. */
create or replace function can_be_authorised(p_method text) returns boolean
language sql immutable parallel safe as $$
    select p_method = 'card'
$$;
