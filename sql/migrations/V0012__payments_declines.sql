/* Declined payments are counted by address and by card for all organisations together, since cards are
   tested wherever that is possible. They feed the rules for reviews, too. */

drop index payments_address;
create index payments_address on payments (address_hash, created_at) where address_hash is not null;
drop index payments_card;
create index payments_card on payments (card_fingerprint, created_at) where card_fingerprint is not null;
create index payments_event on payments (event_id, created_at);

alter table review_rules drop constraint review_rules_rule_check;
alter table review_rules add constraint review_rules_rule_check check (rule in ('buyer_attempts',
    'buyer_seats', 'card_buyers', 'card_bookings', 'address_buyers', 'gateway_review', 'risk_level',
    'buyer_declines', 'card_declines', 'address_declines'));
