/* Deletes acts older than p_days from the beginning of their chains, and returns their ids, at most p_limit.
   Acts that are not chained yet stay. What was deleted is an act itself, with the number and the hash with
   which the chain now begins; so that such acts do not follow each other for ever, a chain is left alone until
   a day's acts are old enough. */
create or replace function purge_acts(p_days integer, p_limit integer) returns setof bigint
language plpgsql as $$
declare
    old record;
    ids bigint[];
    room integer := p_limit;
begin
    for old in select * from old_acts(p_days) loop
        exit when room <= 0;
        select array_agg(act_id order by number), max(number) into ids, old.through
        from (select act_id, number from audit_chain
              where organisation_id = old.organisation_id and number <= old.through
              order by number limit room) c;
        continue when ids is null;
        perform audit('acts purged', null, jsonb_build_object('through', old.through, 'hash', (
            select encode(hash, 'hex') from audit_chain
            where organisation_id = old.organisation_id and number = old.through)),
            nullif(old.organisation_id, 0));
        delete from audit_chain where organisation_id = old.organisation_id and number <= old.through;
        delete from audit_personal where act_id = any (ids);
        delete from audit_log where id = any (ids);
        room := room - cardinality(ids);
        return query select unnest(ids);
    end loop;
end $$;

/* Lists chains that begin with acts that are old, and the number of the last of these. */
create or replace function old_acts(p_days integer, out organisation_id bigint, out through bigint)
returns setof record language sql stable as $$
    select c.organisation_id, coalesce(
        (select min(n.number) - 1 from audit_chain n join audit_log a on a.id = n.act_id
         where n.organisation_id = c.organisation_id
             and a.at >= clock_timestamp() - make_interval(days => p_days)),
        (select max(n.number) from audit_chain n where n.organisation_id = c.organisation_id))
    from (select distinct on (l.organisation_id) l.organisation_id, l.act_id from audit_chain l
          order by l.organisation_id, l.number) c
    join audit_log f on f.id = c.act_id
    where f.at < clock_timestamp() - make_interval(days => p_days + 1)
$$;
