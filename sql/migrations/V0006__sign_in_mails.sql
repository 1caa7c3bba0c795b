/* When the last sign-in code was mailed: anybody may ask for one, for anybody's address. */
alter table accounts add column code_sent_at timestamptz;
