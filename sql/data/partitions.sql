/* Makes the next monthly partitions of the state log; the clock makes the later ones. */
select ensure_partitions();
