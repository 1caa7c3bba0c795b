"""Data as an earlier version left them, for the test of an upgrade: a dump of a whole database.

    python -m tests.support.old_data tests/ops/data/usher-<commit>.sql.gz

Run it in a checkout of the commit whose data are to be kept, so that its migrations and functions
make them (this file may be copied there). The sale is stopped half-way: tasks wait, nothing is
under way at the gateway.
"""

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from ops.deploy.migrate import migrate
from ops.local.servers import Postgres
from tests.support.theatre import BALCONY, STALLS, build_evening

# The theatre pays with a card that no gateway knows.
WITH_A_CARD = """
update payments set params = jsonb_set(params, '{payment_method}', '"pm_card_visa"')
"""


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="usher-old-data-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with Postgres(folder / "pg") as postgres:
            url = postgres.create_database("usher")
            migrate(url)
            stage(url)
            command = [
                str(postgres.psql.with_name("pg_dump")),
                "--no-owner",
                "--no-privileges",
                url,
            ]
            dump = subprocess.run(command, capture_output=True, check=True).stdout
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(gzip.compress(dump, mtime=0))


def stage(url: str) -> None:
    """Alice's payment and Bob's e-mail are waiting tasks; Carol waits in the queue; Dora has not
    paid yet."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
        theatre = build_evening(conn)
        theatre.pay(theatre.hold("alice"))
        conn.execute(WITH_A_CARD)
        theatre.hold("bob", category=BALCONY)
        theatre.hold("dora")
        theatre.join("carol", 2, STALLS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
