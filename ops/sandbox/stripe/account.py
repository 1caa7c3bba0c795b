"""What the gateway knows: intents with their charges, refunds, disputes, events, endpoints.

Every object is an immutable value: a change puts a new value in its place, so an event or a stored
reply keeps what it saw by keeping a reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from ops.sandbox.stripe.cards import METHODS, Method
from ops.sandbox.stripe.errors import missing

Metadata = dict[str, str]

PLATFORM = "acct_platform"
"""The account of every key that is not another account's."""


class Stored(Protocol):
    """Anything with an id and a time of creation (seconds since 1970)."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int: ...


T = TypeVar("T", bound=Stored)


class Shelf(Generic[T]):
    """Objects by id, in the order of their creation."""

    def __init__(self) -> None:
        self._rows: list[T] = []
        self._place: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[T]:
        return iter(self._rows)

    def get(self, id: str) -> T | None:
        place = self._place.get(id)
        return None if place is None else self._rows[place]

    def put(self, row: T) -> None:
        place = self._place.setdefault(row.id, len(self._rows))
        if place == len(self._rows):
            self._rows.append(row)
        else:
            self._rows[place] = row

    def remove(self, id: str) -> None:
        self._rows = [row for row in self._rows if row.id != id]
        self._place = {row.id: place for place, row in enumerate(self._rows)}

    def newest_first(self, after: str | None = None) -> Iterator[T]:
        """From the newest down, or from the one created just before `after`."""
        start = len(self._rows) if after is None else self._place[after]
        for place in range(start - 1, -1, -1):
            yield self._rows[place]

    def oldest_first(self, after: str) -> Iterator[T]:
        """From the one created just after `after` up."""
        for place in range(self._place[after] + 1, len(self._rows)):
            yield self._rows[place]

    def since(self, count: int) -> list[T]:
        """All but the first `count`."""
        return self._rows[count:]

    def has(self, id: str) -> bool:
        return id in self._place


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a payment attempt failed; Stripe's `last_payment_error`."""

    type: str
    code: str
    decline_code: str | None
    message: str
    charge: str | None
    payment_method: str


@dataclass(frozen=True, slots=True)
class Charge:
    """One attempt to move money. Amounts in minor units.

    `released` was authorised and given back without having been captured; Stripe shows it within
    `amount_refunded`, our ledger does not. `refunded` holds pending and succeeded refunds.
    """

    id: str
    created: int
    intent: str
    amount: int
    currency: str
    status: str  # succeeded, pending, failed
    method: str
    payment_method: str
    description: str | None
    suffix: str | None
    metadata: Metadata
    captured: bool = False
    amount_captured: int = 0
    released: int = 0
    refunded: int = 0
    disputed: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A PaymentIntent with its charges, oldest first; the last one is `latest_charge`."""

    id: str
    created: int
    amount: int
    currency: str
    status: str
    capture_method: str
    types: tuple[str, ...]  # payment_method_types; empty: what the dashboard allows
    redirects: bool  # whether methods that leave the page are allowed
    payment_method: str | None
    metadata: Metadata
    description: str | None
    suffix: str | None  # of the statement descriptor
    customer: str | None
    receipt_email: str | None
    return_url: str | None = None
    charges: tuple[Charge, ...] = ()
    error: Failure | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None

    @property
    def latest(self) -> Charge | None:
        return self.charges[-1] if self.charges else None

    def with_latest(self, charge: Charge, status: str | None = None) -> Intent:
        """The intent after its last charge has changed."""
        return replace(self, charges=(*self.charges[:-1], charge), status=status or self.status)


@dataclass(frozen=True, slots=True)
class Refund:
    id: str
    created: int
    amount: int
    currency: str
    charge: str
    intent: str
    status: str  # pending, succeeded, failed
    reason: str | None
    metadata: Metadata
    failure_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    id: str
    created: int
    amount: int
    currency: str
    charge: str
    intent: str
    reason: str
    status: str  # needs_response, won, lost


Subject = Intent | Charge | Refund | Dispute


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `subject`, which keeps the value it had then."""

    id: str
    created: int
    type: str
    subject: Subject
    request: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint; `events` may hold `*`."""

    id: str
    created: int
    url: str
    secret: str
    events: tuple[str, ...]
    description: str | None
    metadata: Metadata

    def wants(self, type: str) -> bool:
        return "*" in self.events or type in self.events


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The account as it sees itself."""

    id: str


@dataclass(frozen=True, slots=True)
class Payout:
    """Money that was sent to the merchant's bank. transactions: the ids of those it pays."""

    id: str
    created: int
    amount: int
    currency: str
    status: str  # paid, failed
    arrival: int
    transactions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """A command to run later by itself; `at` in seconds since 1970."""

    at: float
    command: str
    id: str
    outcome: str


@dataclass
class Account:
    """All state of the domain, and the context (time, request) of the command that runs.

    `settle_after` and `refund_after`: seconds until delayed payments and refunds reach their end by
    themselves; 0 leaves that to the admin calls.
    """

    salt: str
    settle_after: float = 0
    refund_after: float = 0
    intents: Shelf[Intent] = field(default_factory=Shelf)
    refunds: Shelf[Refund] = field(default_factory=Shelf)
    disputes: Shelf[Dispute] = field(default_factory=Shelf)
    payouts: Shelf[Payout] = field(default_factory=Shelf)
    events: Shelf[Event] = field(default_factory=Shelf)
    endpoints: Shelf[Endpoint] = field(default_factory=Shelf)
    charge_owner: dict[str, str] = field(default_factory=dict)
    method_names: dict[str, str] = field(default_factory=dict)
    tagged: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    due: dict[tuple[str, str], Due] = field(default_factory=dict)
    search_lag: float = 0  # seconds until search finds a new intent
    now: float = 0
    serial: int = 0
    request: str | None = None
    key: str | None = None
    id: str = PLATFORM

    def begin(self, at: float, request: str | None, key: str | None) -> None:
        """Set the circumstances of the next command."""
        self.now, self.request, self.key = at, request, key

    def new_id(self, prefix: str) -> str:
        """Make an id from the salt and the commands so far, so that a replay repeats it."""
        self.serial += 1
        return f"{prefix}_3{self.salt}{self.serial:012x}"

    def intent(self, id: str) -> Intent:
        found = self.intents.get(id)
        if found is None:
            raise missing("payment_intent", id, param="intent")
        return found

    def owner_of(self, charge: str) -> Intent:
        """The intent that a charge belongs to."""
        owner = self.charge_owner.get(charge)
        if owner is None:
            raise missing("charge", charge)
        return self.intent(owner)

    def charge(self, id: str) -> Charge:
        return next(charge for charge in self.owner_of(id).charges if charge.id == id)

    def put_intent(self, intent: Intent) -> Intent:
        before = self.intents.get(intent.id)
        if before is None or before.metadata is not intent.metadata:
            for pair in intent.metadata.items():
                self.tagged.setdefault(pair, []).append(intent.id)
        self.intents.put(intent)
        for charge in intent.charges[-1:]:
            self.charge_owner[charge.id] = intent.id
        return intent

    def put_charge(self, charge: Charge) -> None:
        """Replace a charge within its intent."""
        owner = self.intent(charge.intent)
        charges = tuple(charge if old.id == charge.id else old for old in owner.charges)
        self.intents.put(replace(owner, charges=charges))

    def new_method(self, given: str) -> str:
        """The id of the payment method that a test name stands for, or a known id itself."""
        if given in self.method_names:
            return given
        if given not in METHODS:
            raise missing("PaymentMethod", given, param="payment_method", status=400)
        id = self.new_id("pm")
        self.method_names[id] = given
        return id

    def method(self, id: str) -> Method:
        return METHODS[self.method_names[id]]

    def emit(self, type: str, subject: Subject) -> None:
        event = Event(self.new_id("evt"), int(self.now), type, subject, self.request, self.key)
        self.events.put(event)

    def schedule(self, command: str, id: str, outcome: str, after: float) -> None:
        if after > 0:
            self.due[command, id] = Due(self.now + after, command, id, outcome)
