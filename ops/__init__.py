"""Everything around Usher: servers, processes, migrations, demo, measurements, campaigns."""
