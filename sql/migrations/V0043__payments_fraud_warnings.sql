/* A merchant with own keys signs its own notifications, and can name any id in them: with ids of warnings that are
   yet to come it would hide those of other merchants. So an id counts for its payment, and no further. */
alter table fraud_warnings drop constraint fraud_warnings_pkey, add primary key (payment_id, gateway_ref);
