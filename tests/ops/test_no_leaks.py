"""After a demo, no log, dead letter or message holds a secret or a mail address: those of our
processes, of PostgreSQL and of Redis."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
import redis
import requests
from psycopg.rows import dict_row

from db.accounts import api_keys
from ops.demo import __main__ as demo
from ops.demo.__main__ import run
from ops.local.stack import Stack
from tests.support.drawings import small_hall
from tests.support.waiting import wait_until

SECRETS = ("SECRET_KEY", "ENCRYPTION_KEYS", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET")
MERCHANT_KEY = "sk_live_of_a_merchant_1"
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
OURS = {"tickets@usher.example"}
"""The sender of all mail is no person's."""

Texts = dict[str, str]


class SearchedStack(Stack):
    """Keeps, before it stops, all that an operator could read of it."""

    texts: ClassVar[Texts] = {}
    secrets: ClassVar[dict[str, str]] = {}

    def __exit__(self, *error: Any) -> None:
        lose_a_merchant(self)
        SearchedStack.secrets = {name: self.env[name] for name in SECRETS}
        SearchedStack.texts = dict(texts_of(self))
        super().__exit__(*error)


def lose_a_merchant(stack: Stack) -> None:
    """A merchant's key is offered, and the gateway refuses it: an error in the log."""
    stack.sandbox.account("acct_of_a_merchant", keys=[MERCHANT_KEY], revoke=[MERCHANT_KEY])
    with psycopg.connect(stack.database_url, row_factory=dict_row) as conn:
        organisation = api_keys.add_organisation(conn, "A merchant")
        scopes = api_keys.EVERYTHING
        key = api_keys.add_key(conn, "organiser", "tests", organisation, scopes)
    answer = requests.post(
        f"{stack.web_url}/v1/organisations/{organisation}/gateway-accounts",
        json={"api_key": MERCHANT_KEY},
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "one"},
        timeout=10,
    )
    assert answer.status_code == 202, answer.text
    with psycopg.connect(stack.database_url, autocommit=True) as conn:
        done = "select from outbox where actor = 'check_merchant'"
        wait_until(lambda: not conn.execute(done).fetchall(), 30)


def texts_of(stack: Stack) -> Iterator[tuple[str, str]]:
    for path in [*stack.var_dir.glob("*.log"), *(stack.var_dir / "log").rglob("*")]:
        if path.is_file():
            yield str(path.relative_to(stack.var_dir)), path.read_text(errors="replace")
    with psycopg.connect(stack.database_url) as conn:
        for table in ("dead_letters", "outbox", "jobs"):
            query = f"select coalesce(json_agg(t), '[]')::text from {table} t"
            yield table, conn.execute(query).fetchall()[0][0]
    for name, url in (("broker", stack.redis_url), ("cache", stack.cache_url)):
        with redis.Redis.from_url(url) as client:
            yield name, " ".join(str(client.dump(key)) + str(key) for key in client.scan_iter())


@pytest.mark.system
@pytest.mark.timeout(600)
def test_no_log_dead_letter_or_message_holds_a_secret_or_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "Stack", SearchedStack)
    plan = tmp_path / "small.json"
    plan.write_text(json.dumps(small_hall()))
    run(plan, buyers=120, seed=1, hold_seconds=10, var_dir=tmp_path / "var")
    texts = SearchedStack.texts
    assert {"pg.log", "dead_letters", "broker"} < texts.keys()
    assert sum(map(len, texts.values())) > 10_000, "is the test looking in the right place?"
    keys = SearchedStack.secrets | {
        "ENCRYPTION_KEYS": SearchedStack.secrets["ENCRYPTION_KEYS"].partition(":")[2],
        "a merchant's key": MERCHANT_KEY,
    }
    for place, text in texts.items():
        assert [name for name, secret in keys.items() if secret in text] == [], place
        assert set(ADDRESS.findall(text)) - OURS == set(), place
