/* sweep_at: when what came in after an erasure is looked for, as late notifications of the gateway; null: no more,
   or nothing is erased yet. */
alter table erasures add column sweep_at timestamptz check (sweep_at is null or erased_at is not null);
update erasures set sweep_at = clock_timestamp() where erased_at is not null;
create index erasures_sweep on erasures (sweep_at) where sweep_at is not null;
