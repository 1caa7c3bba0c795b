"""Everything around Usher: servers, processes, migrations, the demo, measurements and faults."""
