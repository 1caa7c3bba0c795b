/* What stands on an organisation's documents: its postal address, in lines, and its VAT id. return_urls:
   where buyers may be sent after a payment at the bank, each an address with everything below it
   (db/payments/return_urls.py). */
alter table organisations
    add column address text not null default '' check (length(address) <= 500),
    add column vat_id text not null default '' check (length(vat_id) <= 40),
    add column return_urls text[] not null default '{}' check (cardinality(return_urls) <= 20);
