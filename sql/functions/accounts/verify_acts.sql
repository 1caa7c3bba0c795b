/* Compares the audit log with its chains; a row for each link or act that is not as it was written, or none.
   p_organisation: one organisation; 0: the platform; null: all.

   finding: 'changed' (the act or its link), 'act_gone', 'links_gone' (numbers are missing before this one, or
   the beginning without an act that says so), 'out_of_order' (ten minutes older than an act before it: a
   row was added afterwards, or a transaction took that long), 'not_chained' (and nothing will chain it),
   'personal_changed', 'personal_gone' (though the account was not erased). number null: it is in no chain. */
create or replace function verify_acts(
    p_organisation bigint, out organisation_id bigint, out number bigint, out act_id bigint, out finding text)
returns setof record language sql stable set jit = off as $$
    with purges as materialized (
        select o.id, p.through, p.hash
        from (select distinct c.organisation_id as id from audit_chain c) o
        cross join lateral purged_acts(o.id) p
    ), links as (
        select c.organisation_id, c.number, c.act_id, c.hash, a.id as found_id,
            coalesce(lag(c.number) over chain, p.through) as number_before,
            case when lag(c.number) over chain is null then p.hash else lag(c.hash) over chain end
                as hash_before,
            max(a.at) over (partition by c.organisation_id order by c.number
                rows between unbounded preceding and 1 preceding) as at_before,
            a as act
        from audit_chain c
        join purges p on p.id = c.organisation_id
        left join audit_log a on a.id = c.act_id
        where p_organisation is null or c.organisation_id = p_organisation
        window chain as (partition by c.organisation_id order by c.number)
    ), found as (
        select l.organisation_id, l.number, l.act_id, case
            when l.found_id is null then 'act_gone'
            when l.number <> l.number_before + 1 then 'links_gone'
            when l.hash <> link_act(l.hash_before, l.number, l.act)
                or l.organisation_id <> coalesce((l.act).organisation_id, 0) then 'changed'
            when (l.act).at < l.at_before - interval '10 min' then 'out_of_order'
            end as finding
        from links l
        union all
        select coalesce(a.organisation_id, 0), null, a.id, 'not_chained'
        from audit_log a
        where not exists (select from audit_chain c where c.act_id = a.id)
            and not exists (select from audit_unchained u where u.act_id = a.id)
        union all
        select coalesce(a.organisation_id, 0), null, a.id,
            case when v.act_id is null then 'personal_gone' else 'personal_changed' end
        from audit_log a
        left join audit_personal v on v.act_id = a.id
        left join account_keys k on k.account_id = a.account_id
        where a.personal_mac is not null and not coalesce(is_erased(a.account_id), false)
            and a.personal_mac is distinct from personal_mac(k.key, v.personal)
    )
    select f.organisation_id, f.number, f.act_id, f.finding from found f
    where f.finding is not null and (p_organisation is null or f.organisation_id = p_organisation)
    order by f.organisation_id, f.number, f.act_id
$$;
