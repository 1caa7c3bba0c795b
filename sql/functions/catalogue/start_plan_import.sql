/* Stores a large plan as it came, and adds the task that reads it: a new plan of a venue, or with p_plan the
   next version of that plan. p_scope: the caller's organisation; null: all organisations. outcome:
   'started', with the import's id; or 'unknown' (venue or plan), 'too_many': as many imports of the
   organisation are under way as it has slots. */
create or replace function start_plan_import(
    p_scope bigint, p_venue bigint, p_plan bigint, p_name text, p_source bytea, p_strict boolean,
    p_guess boolean, p_unrelated boolean, out outcome text, out import_id bigint)
language plpgsql as $$
declare
    venue venues;
begin
    select v.* into venue from venues v
    where v.id = coalesce((select venue_id from plans where id = p_plan), p_venue)
        and (p_scope is null or v.organisation_id = p_scope);
    if venue.id is null then
        outcome := 'unknown'; return;
    end if;
    for n in 1..3 loop
        insert into plan_imports (organisation_id, venue_id, plan_id, name, source, strict, guess, unrelated,
            slot, requested_by)
        values (venue.organisation_id, venue.id, p_plan, p_name, p_source, p_strict, p_guess, p_unrelated,
            n, acting())
        on conflict (organisation_id, slot) where state in ('waiting', 'reading') do nothing
        returning id into import_id;
        exit when import_id is not null;
    end loop;
    if import_id is null then
        outcome := 'too_many'; return;
    end if;
    perform enqueue('import_plan', 'maintenance', null, jsonb_build_object('import_id', import_id),
        p_priority => 20);
    perform audit('plan import started', null, jsonb_build_object('import_id', import_id, 'venue_id', venue.id,
        'plan_id', p_plan, 'name', p_name), venue.organisation_id);
    outcome := 'started';
end $$;
