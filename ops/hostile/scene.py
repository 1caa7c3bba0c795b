"""Where attacks happen: a stack with limits on behind its proxy, nginx beside it, and clients that
each come from an address of their own."""

import itertools
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

from db.connections import Conn, one
from ops.crowd.organiser import Organiser, an_evening, new_api_key
from ops.hostile.clients import Client, Refused
from ops.hostile.merchants import Merchant
from ops.local.nginx import configure, find_nginx, running_nginx
from ops.local.proxy import source_address
from ops.local.servers import connected, free_port
from ops.local.stack import Stack
from ops.plans.square import square_plan

Json = dict[str, Any]
T = TypeVar("T")
U = TypeVar("U")

FIRST_ADDRESS = 1000  # those before it are of the honest crowd
WINDOW_S = 60  # of limits per minute
STREAMS_AN_ADDRESS = 20
ENV = {
    # The sandbox's rate limit is off, so honest payments need not wait for Usher's own.
    "GATEWAY_LIMIT": "200",
    "LIVE_STREAMS_PER_ADDRESS": str(STREAMS_AN_ADDRESS),
    # Identity providers of attacks are on this machine.
    "OIDC_ADDRESSES": "loopback",
}


@dataclass
class Scene:
    """What attacks work with. `nginx_url` is empty where nginx does not run; `merchant` None: the
    organisation is paid through the platform's account at the gateway."""

    stack: Stack
    conn: Conn
    organiser: Organiser
    venue: Json
    nginx_url: str = ""
    merchant: Merchant | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_ADDRESS))
    _plans: dict[int, Json] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def of_another_organisation(self) -> "Scene":
        """The same, for an organisation that is new, with a gateway account of its own."""
        organiser, venue = new_organisation(self.stack)
        other = replace(self, organiser=organiser, venue=venue, _plans={})
        other.merchant = Merchant(self.stack.sandbox, other.server(), other.path)
        return other

    @property
    def path(self) -> str:
        """Of the organisation."""
        query = "select organisation_id as n from venues where id = %s"
        return f"/v1/organisations/{self.count(query, self.venue['id'])}"

    def client(self, url: str = "", address: str = "") -> Client:
        """A client at a new address, unless one is given; it asks the proxy, unless told."""
        return Client(url or self.stack.web_url, address or self.address())

    def address(self) -> str:
        with self._lock:
            return source_address(next(self._numbers))

    def guest(self, address: str = "", email: str = "", name: str = "Mallory") -> Client:
        """A client who has made a guest's account."""
        client = self.client(address=address)
        client.sign_up(email or f"{uuid.uuid4()}@hostile.example", name)
        return client

    def guests(self, count: int, address: str = "") -> list[Client]:
        """So many guests, at one address, or each at an own one."""
        return at_once(lambda _: self.guest(address), range(count), threads=4)

    def server(self) -> Client:
        """A server that has the organisation's key, at an address of its own."""
        client = self.client()
        client.token = self.organiser.api_key
        return client

    def event(self, seats: int = 440, **fields: Any) -> "Event":
        """A new event on sale: not gated, paid by card."""
        with self._lock:
            draft = self.draft(seats, **fields)
            self.organiser.post(f"{draft.path}/open", {})
        return draft

    def draft(self, seats: int = 440, **fields: Any) -> "Event":
        evening = an_evening(self.venue, self.plan(seats), datetime.now(UTC))
        usual = {"gated": False, "categories": [{"category": 1, "price": 2500}]}
        return Event(self, int(self.organiser.post("/v1/events", evening | usual | fields)["id"]))

    def plan(self, seats: int) -> Json:
        with self._lock:
            if seats not in self._plans:
                content = json.dumps(square_plan(seats)).encode()
                self._plans[seats] = self.organiser.import_plan(self.venue["id"], content)
            return self._plans[seats]

    def count(self, query: str, *values: Any) -> int:
        """The number that a query returns."""
        with self._lock:
            return int(one(self.conn.execute(query, list(values)))["n"] or 0)

    def mailed(self, email: str, template: str) -> str:
        """The code of the latest mail of a template to an address. Errors: Refused."""
        query = """
            select m.context ->> 'code' as code from emails m join buyers b on b.id = m.buyer_id
            where b.email = %s and m.template = %s order by m.created_at desc limit 1"""
        with self._lock:
            row = self.conn.execute(query, [email, template]).fetchone()
        if row is None:
            raise Refused(f"no mail {template} to {email}")
        return str(row["code"])

    def mails_to(self, start: str) -> list[Json]:
        """Mails to addresses that begin so."""
        mails = requests.get(f"{self.stack.catcher_url}/messages", timeout=20).json()
        return [mail for mail in mails if any(to.startswith(start) for to in mail["recipients"])]

    def mail_text(self, mail: Json) -> str:
        return requests.get(
            f"{self.stack.catcher_url}/messages/{mail['id']}/raw", timeout=20
        ).content.decode(errors="replace")


@dataclass(frozen=True)
class Event:
    """An event of the scene."""

    scene: Scene
    id: int

    @property
    def path(self) -> str:
        return f"/v1/events/{self.id}"

    def book(self, buyer: Client, quantity: int = 1, **wish: Any) -> requests.Response:
        return buyer.post(
            f"{self.path}/bookings", wish if "seats" in wish else {"quantity": quantity} | wish,
            key=str(uuid.uuid4()),
        )  # fmt: skip

    def held(self, buyer: Client, quantity: int = 1, **wish: Any) -> str:
        """The path of a booking that a buyer has made. Errors: Refused."""
        answer = self.book(buyer, quantity, **wish)
        if answer.status_code != 201:
            raise Refused(f"{answer.status_code} {answer.text[:200]}")
        return f"{self.path}/bookings/{answer.json()['id']}"

    def pay(self, buyer: Client, booking: str, card: str = "pm_card_visa") -> requests.Response:
        key = str(uuid.uuid4())
        return buyer.post(f"{booking}/payment", {"payment_method": card}, key=key)

    def outcome(self, buyer: Client, booking: str, patience: float = 20) -> Json:
        """The booking as soon as its payment has come to an end. Errors: TimeoutError."""
        give_up_at = time.monotonic() + patience
        while time.monotonic() < give_up_at:
            answer = buyer.get(booking)
            if answer.ok and answer.json()["state"] not in ("authorising", "secured"):
                seen: Json = answer.json()
                return seen
            time.sleep(0.05)
        raise TimeoutError(f"{booking} has no outcome after {patience} s")


def at_once(act: Callable[[T], U], given: Iterable[T], threads: int) -> list[U]:
    """Do it for all, a few at a time."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(act, given))


@contextmanager
def meanwhile(*acts: Callable[[threading.Event], object]) -> Iterator[None]:
    """Each act goes on in a thread of its own until the block ends, which the event that it is
    given tells it."""
    over = threading.Event()
    threads = [threading.Thread(target=act, args=[over]) for act in acts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for_window(needed_s: float, window_s: int = WINDOW_S) -> None:
    """Wait until so many seconds of the limits' present window are left."""
    left = window_s - time.time() % window_s
    if left < needed_s:
        time.sleep(left + 0.05)


@contextmanager
def staged(var_dir: Path, *, nginx: bool, say: Callable[[str], object]) -> Iterator[Scene]:
    """A stack for attacks, until the block ends."""
    with (
        Stack(var_dir, proxied=True, env=ENV, say=say) as stack,
        connected(stack.database_url) as conn,
    ):
        scene = Scene(stack, conn, *new_organisation(stack))
        if not (nginx and (program := find_nginx())):
            yield scene
            return
        folder = stack.var_dir / "nginx"
        folder.mkdir(exist_ok=True)
        port = free_port()
        ports = [urlsplit(url).port or 0 for url in (stack.direct_url, stack.live_url)]
        with running_nginx(program, folder, configure(folder, port, *ports)):
            scene.nginx_url = f"http://127.0.0.1:{port}"
            wait_until_it_listens(port)
            yield scene


def new_organisation(stack: Stack) -> tuple[Organiser, Json]:
    """An organisation with a key, and its venue."""
    organiser = Organiser(stack.direct_url, new_api_key(stack.database_url))
    venue = organiser.post("/v1/venues", {"name": "Cellar", "time_zone": "Europe/Berlin"})
    return organiser, venue


def wait_until_it_listens(port: int, patience: float = 10) -> None:
    """Errors: OSError."""
    give_up_at = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
