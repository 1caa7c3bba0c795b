/* A warning of fraud puts the tickets on hold until the organiser has released them, or given the money
   back. Not where the gateway says that nothing can be done any more (actionable). */
alter table fraud_warnings add column released_at timestamptz;
create index fraud_warnings_held on fraud_warnings (payment_id) where actionable and released_at is null;
