/* Secrets that Usher keeps for others, sealed with ENCRYPTION_KEYS (db/runtime/sealing.py): the id of the key,
   a dot, nonce and ciphertext in base64. One table, so that keys are changed in one place and no other role of
   the database needs to read it. owner: the id of the row to which it belongs, of the table that the purpose
   means. A row that is moved to another purpose, owner or organisation does not open. */
create table sealed_secrets (
    purpose text not null check (purpose in ('stripe_key', 'stripe_webhook_secret', 'totp_seed')),
    owner text not null check (length(owner) between 1 and 100),
    organisation_id bigint references organisations,
    sealed text not null check (sealed ~ '^[a-z0-9_-]{1,16}\.[A-Za-z0-9_=-]{38,}$'),
    sealed_at timestamptz not null default clock_timestamp(),
    primary key (purpose, owner)
);
