/* expected_total: what the buyer was shown that the booking costs, in minor units; null: no matter. An entry
   whose seats cost another sum when its turn has come is told, and nothing is held. */
alter table entries
    add column expected_total bigint check (expected_total >= 0),
    add constraint entries_expected_total check (expected_total is null
        or not admission and num_nonnulls(category, seats) = 1);
