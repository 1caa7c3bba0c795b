/* put_off: the task waits for what others do, and no worker can help it. It is no backlog. */
alter table outbox add column put_off boolean not null default false;
