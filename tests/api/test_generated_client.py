"""A client that openapi-python-client generates from the document buys, pays and refunds."""

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from db.accounts import api_keys
from db.connections import transaction
from tests.support.document import Document
from tests.support.running import Running
from tests.support.theatre import PRICE, STALLS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.processes]

PACKAGE = "usher_client"


class Client:
    """The generated package, by the operations' names."""

    def __init__(self, url: str, document: Document) -> None:
        self.url, self.document = url, document
        self.models: Any = importlib.import_module(f"{PACKAGE}.models")
        self.package: Any = importlib.import_module(PACKAGE)

    def call(self, token: str, name: str, *path: Any, **given: Any) -> Any:
        """Call an operation, and return what its answer was parsed to."""
        (tag,) = self.document.operations[name].described["tags"]
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
        function = importlib.import_module(f"{PACKAGE}.api.{tag}.{snake}").sync_detailed
        client = self.package.Client(base_url=self.url)
        if token:
            client = self.package.AuthenticatedClient(base_url=self.url, token=token)
        if self.document.operations[name].needs_key:
            given["idempotency_key"] = str(uuid4())
        return function(*path, client=client, **given).parsed


@pytest.fixture
def client(
    site: str, document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    source, settings = tmp_path / "openapi.json", tmp_path / "generator.json"
    source.write_text(json.dumps(document.whole))
    # It would tidy its code up, which takes time, and it is thrown away.
    settings.write_text(json.dumps({"post_hooks": [], "package_name_override": PACKAGE}))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    command += ["--path", str(source), "--config", str(settings)]
    command += ["--output-path", str(tmp_path / PACKAGE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert set(re.findall(r"WARNING parsing \w+ (\S+) within", said)) == raw(document), said
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Client(site, document)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def raw(document: Document) -> set[str]:
    """Paths whose answers the generator does not parse, and says so: pictures."""
    return {
        operation.path
        for operation in document.operations.values()
        for media in document.resolve(operation.responses.get("200", {})).get("content", {})
        if media == "image/svg+xml"
    }


@pytest.mark.system
@pytest.mark.faults("OpenAPI")
def test_a_generated_client_buys_pays_and_refunds(running: Running, client: Client) -> None:
    models, event = client.models, running.sale.event
    ana = models.NewAccount(email="ana@example.org", name="Ana Lima")
    buyer = client.call("", "addAccount", body=ana).token
    refused = client.call("", "addAccount", body=ana)
    assert refused.conflict_reason == models.ConflictReason.ACCOUNT_EXISTS
    wish = models.Wish(quantity=2, category=STALLS)
    entry = client.call(buyer, "joinQueue", event, body=wish)
    assert entry.state == models.EntryState.WAITING
    running.sale.drain()
    found = client.call(buyer, "getEntry", event, entry.id)
    card = models.NewPayment(payment_method="pm_card_visa")
    with running.work():
        client.call(buyer, "payBooking", event, found.booking_id, body=card)
        wait_until(lambda: state_of(client, buyer, event, found) == models.BookingState.CONFIRMED)
        tickets = client.call(buyer, "listTickets", event, found.booking_id)
        assert [ticket.state.value for ticket in tickets] == ["valid", "valid"]
        key = add_key(running)
        asked = models.NewRefund(reason="ill", tickets=[tickets[0].id])
        answer = client.call(key, "requestRefund", event, found.booking_id, body=asked)
        assert (answer.refund.amount, answer.returned) == (PRICE + 250, [tickets[0].id])
        wait_until(lambda: is_refunded(client, key, event, found))
    running.check()


def state_of(client: Client, buyer: str, event: int, entry: Any) -> Any:
    return client.call(buyer, "getBooking", event, entry.booking_id).state


def is_refunded(client: Client, key: str, event: int, entry: Any) -> bool:
    balance = client.call(key, "listRefunds", event, entry.booking_id)
    return [refund.state.value for refund in balance.refunds] == ["succeeded"]


def add_key(running: Running) -> str:
    with transaction() as conn:
        return api_keys.add_key(conn, "organiser", "tests", running.sale.organisation)
