/* Finds the entries of a batch whose seats cost another sum than their buyers expect: their positions, and
   that sum. p_expected: by entry, null where none is expected; p_owner, p_category: as in hold_seats, whose
   totals these are. The caller has locked the sale, so prices stay. */
create or replace function changed_totals(
    p_show events, p_expected bigint[], p_owner integer[], p_category integer[])
returns table (entry integer, total bigint) language sql stable as $$
    select t.entry, t.total
    from (select o.entry, (sum(c.price + c.fee)
              + case when sum(c.price + c.fee) > 0 then p_show.booking_fee else 0 end)::bigint as total
          from unnest(p_owner, p_category) o(entry, category)
          join event_categories c on c.event_id = p_show.id and c.category = o.category
          where p_expected[o.entry] is not null
          group by o.entry) t
    where t.total <> p_expected[t.entry]
$$;
