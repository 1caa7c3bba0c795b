/* What the gateway does with the money of an account: each change of its balance, with the gateway's fee, and
   what it pays out to the bank (tasks/balances.py reads both). gateway_account_id: the real account.
   payment_ref: the gateway's id of the payment that it is about; payout_ref: of the payout that contains it.
   amount is signed; net is amount less fee, in the currency of the balance. */
create table balance_transactions (
    gateway_account_id bigint not null references gateway_accounts,
    id text not null,
    type text not null,
    source text,
    payment_ref text,
    amount bigint not null,
    fee bigint not null,
    currency char(3) not null,
    made_at timestamptz not null,
    available_at timestamptz not null,
    payout_ref text,
    primary key (gateway_account_id, id)
);
create index balance_transactions_payment on balance_transactions (gateway_account_id, payment_ref);
create index balance_transactions_payout on balance_transactions (gateway_account_id, payout_ref);

/* state: as the gateway has it. read_at: when the transactions that it contains were read. */
create table payouts (
    id bigint generated always as identity primary key,
    gateway_account_id bigint not null references gateway_accounts,
    gateway_ref text not null,
    amount bigint not null,
    currency char(3) not null,
    state text not null check (state in ('pending', 'in_transit', 'paid', 'failed', 'canceled')),
    made_at timestamptz not null,
    arrives_at timestamptz not null,
    failure text,
    read_at timestamptz,
    unique (gateway_account_id, gateway_ref)
);

/* How far the balance of an account was read. window_to: of a reading that is under way; cursor: the last
   transaction that it has seen. */
create table balance_readings (
    gateway_account_id bigint primary key references gateway_accounts,
    read_until timestamptz not null,
    window_to timestamptz,
    cursor text,
    check (cursor is null or window_to is not null)
);
