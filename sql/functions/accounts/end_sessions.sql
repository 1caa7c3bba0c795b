/* Ends all sessions of an account, but for one of them, if it is named. Tokens that name no session,
   from versions before there were sessions, end, too: the account gets a new epoch. */
create or replace function end_sessions(p_account bigint, p_except bigint default null) returns void
language sql as $$
    update accounts set token_epoch = token_epoch + 1, tokens_ended_at = clock_timestamp()
    where id = p_account;
    update sessions set ended_at = clock_timestamp()
    where account_id = p_account and ended_at is null and id is distinct from p_except;
$$;
