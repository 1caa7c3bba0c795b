/* Another address that an account asked for, and the one that it has until then: both are told, and both have to
   be proved by mailed codes. The latest change of an account; it is deleted when its mails are long sent. */
create table address_changes (
    account_id bigint primary key references accounts,
    old_email text not null check (length(old_email) between 3 and 254),
    new_email text not null check (length(new_email) between 3 and 254 and new_email ~ '^[ -~]+@[a-z0-9.-]+$'),
    created_at timestamptz not null default clock_timestamp(),
    confirmed_at timestamptz
);
create index address_changes_age on address_changes (created_at);
