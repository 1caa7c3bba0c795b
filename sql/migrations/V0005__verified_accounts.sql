/* Anybody can make an account for any address. The first sign-in by a mailed code proves who reads its
   mail: verified_at; a password, and the tokens of earlier epochs, end with it. codes_used: a code names
   the count that it was made at, and is good for one sign-in. */
alter table accounts
    add column verified_at timestamptz,
    add column codes_used integer not null default 0 check (codes_used >= 0),
    add column token_epoch integer not null default 0 check (token_epoch >= 0),
    add column tokens_ended_at timestamptz,
    add check ((token_epoch = 0) = (tokens_ended_at is null));
create index accounts_tokens_ended on accounts (tokens_ended_at) where tokens_ended_at is not null;
