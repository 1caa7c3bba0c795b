/* Finds accounts that were closed and are still to be erased. */
create index accounts_closed on accounts (closed_at) where closed_at is not null and erased_at is null;
