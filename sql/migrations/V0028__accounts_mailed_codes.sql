/* Six-digit codes that were mailed. request_sha256: of a secret that only the browser or program has which
   asked for the code; who has not asked cannot even try. code_sha256: of that secret and the code, so the table
   does not tell a code that is on its way. purpose: what the code is good for. mailbox: of mailbox_of(), to
   count how many it gets. A code is good for ten minutes, five tries and one use.
   accounts.codes_used and code_sent_at are not written any more; they stay for processes of the version before,
   while a deploy goes through. */
create table mailed_codes (
    request_sha256 bytea not null,
    purpose text not null check (purpose in ('sign_in', 'old_address', 'new_address', 'merge')),
    account_id bigint not null references accounts,
    mailbox bigint not null,
    code_sha256 bytea not null,
    tries smallint not null default 0 check (tries between 0 and 5),
    created_at timestamptz not null default clock_timestamp(),
    used_at timestamptz,
    primary key (request_sha256, purpose)
);
create index mailed_codes_mailbox on mailed_codes (mailbox, created_at);
create index mailed_codes_age on mailed_codes (created_at);
