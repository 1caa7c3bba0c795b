/* merged_into: the account that took this one over, with its bookings; it is closed. */
alter table accounts
    add column merged_into bigint references accounts,
    add constraint accounts_merged check (merged_into is null or closed_at is not null and merged_into <> id);
create index accounts_merged_into on accounts (merged_into) where merged_into is not null;
