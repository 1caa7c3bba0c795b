/* What the gateway tells of a card and of how risky a payment is. No card data but the fingerprint, which
   is the same for one number. address_hash: of the address that the buyer paid from, keyed
   (web/support/client_address.py). capture_before: when the authorisation lapses. */
alter table payments
    add column address_hash bytea,
    add column card_fingerprint text,
    add column card_country text,
    add column card_checks jsonb,
    add column risk_level text,
    add column risk_score smallint,
    add column risk_message text,
    add column gateway_review boolean not null default false,
    add column capture_before timestamptz;
drop function if exists start_payment(bigint, uuid, bigint, text, text, text);
create index payments_card on payments (organisation_id, card_fingerprint, created_at)
    where card_fingerprint is not null;
create index payments_address on payments (organisation_id, address_hash, created_at)
    where address_hash is not null;

/* Where an organisation differs from risk_rules_of (sql/functions/payments/risk_rules_of.sql), which says what the rules
   are. A payment of which a rule counts more than `most` is reviewed. */
create table risk_rules (
    organisation_id bigint not null references organisations,
    rule text not null check (rule in ('buyer_attempts', 'buyer_seats', 'card_buyers', 'card_bookings',
        'address_buyers', 'gateway_review', 'risk_level')),
    window_seconds integer not null check (window_seconds between 60 and 2592000),
    most smallint not null check (most between 0 and 100),
    action text not null check (action in ('review', 'none')),
    primary key (organisation_id, rule)
);

/* How long a review may take, and what becomes of a booking that nobody has decided about by then. */
alter table organisations
    add column review_seconds integer not null default 86400
        check (review_seconds between 60 and 518400),
    add column review_ends text not null default 'reject' check (review_ends in ('reject', 'approve'));

/* Money is reserved, a person decides: why, and until when. */
alter table bookings
    add column review_reasons jsonb,
    add column review_until timestamptz,
    add check (state <> 'review' or review_reasons is not null and review_until is not null);
create index bookings_review on bookings (event_id, review_until, id) where state = 'review';
create index bookings_review_until on bookings (review_until) where state = 'review';

/* A payment that is authorised at the last moment is looked at like any other. */
insert into legal_moves (noun, old_state, new_state) values ('booking', 'expiring', 'review');
