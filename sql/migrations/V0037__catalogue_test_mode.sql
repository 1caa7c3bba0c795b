/* test_mode: events that are added are tests. is_test: of an event, for good, as its account at the gateway is one
   for tests: no money moves, mails go to members alone, and no report, receipt or catalogue has it. */
alter table organisations add test_mode boolean not null default false;
alter table events add is_test boolean not null default false;
