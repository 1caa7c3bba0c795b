/* authorised_at: when the gateway first said that the payment was authorised, or captured; null: never. An
   attempt that has ended without it counts as declined (counts_as_decline), also one whose buyer did not come
   back from the bank's page. */
alter table payments add column authorised_at timestamptz;
