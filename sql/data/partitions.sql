/* The months of the state log that come next; the clock makes the later ones. */
select ensure_partitions();
