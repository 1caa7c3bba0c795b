/* Returns how much of a payment went back, for reports: their role may not read whole payments, since some
   columns are personal (ops/deploy/roles.py). */
create or replace function money_back_of(p_event bigint, p_payment uuid) returns bigint
language sql stable security definer set search_path = public, pg_temp as $$
    select money_back(p) from payments p where p.event_id = p_event and p.id = p_payment
$$;
