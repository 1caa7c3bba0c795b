/* price_type, area: what an item was sold as, and where it is: numbers, one of each today. hold_seats writes
   neither, so that the drain does what it did; the two fit into what a row's end was padded with. A price is of
   one category and one price type. */
alter table booking_items
    add column price_type smallint not null default 1,
    add column area smallint not null default 1;
alter table event_categories add column price_type smallint not null default 1
    constraint event_categories_one_price_type check (price_type = 1);
