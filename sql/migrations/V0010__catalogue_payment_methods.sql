/* What each payment method can charge. A method charges only in the currencies of its rows. minimum_charge,
   maximum_charge: limits of one payment; null: those of the currency. settles_in: how long the money may be
   on its way before it is sure; 0: it is sure at once, or within minutes. sql/data/payment_methods.sql fills
   the table. */
create table payment_methods (
    method text not null,
    currency char(3) not null references currencies,
    minimum_charge bigint check (minimum_charge > 0),
    maximum_charge bigint check (maximum_charge > 0),
    settles_in interval not null default '0' check (settles_in >= interval '0'),
    primary key (method, currency),
    check (minimum_charge <= maximum_charge)
);
