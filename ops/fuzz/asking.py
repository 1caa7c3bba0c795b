"""What each operation needs for success: ids of a suitable object, a body, and the right caller.

    @asks("POST /v1/events/{event_id}/close")
    def close_event(world): …

An operation without a function here gets ids of any scene. Bodies are whole; `known` names their
fields that are ids or otherwise of this world, which a made-up body gets in any case.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from db.accounts import codes
from db.accounts.codes import make_code
from db.maintenance.reports import report_names
from db.payments.reviews import RULES
from ops.fuzz.plans import describe_plan
from ops.fuzz.world import FEE, FREE, PAID, PRICE, SOURCE, Buyer, Ids, Scene, World
from web.queue.tokens import Pass, sign_pass

EVENT = "/v1/events/{event_id}"
BOOKING = EVENT + "/bookings/{booking_id}"
ENTRY = EVENT + "/queue/{entry_id}"
REFUND = BOOKING + "/refunds/{refund_id}"
TRANSFER = EVENT + "/transfers/{transfer_id}"
VENUE_PLANS = "/v1/venues/{venue_id}/plans"
VERSIONS = "/v1/plans/{plan_id}/versions"
LETTER = "/v1/dead-letters/{letter_id}"
FOUND = "/v1/organisations/{organisation_id}/bookings"
RISK = "/v1/organisations/{organisation_id}/risk"
SUSPENSION = "/v1/organisations/{organisation_id}/suspension"
PROVIDER = "/v1/organisations/{organisation_id}/identity-provider"
API_KEYS = "/v1/organisations/{organisation_id}/api-keys"
API_KEY = API_KEYS + "/{key_id}"
MEMBER = "/v1/organisations/{organisation_id}/members/{membership_id}"
INVITATIONS = "/v1/organisations/{organisation_id}/invitations"
PASSWORD = "correct horse battery"
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request that succeeds. buyer: who sends it, if it is a buyer's; token: instead of the
    buyer's; operator: it needs the operator's key; query: None leaves the made-up one."""

    ids: Ids = field(default_factory=dict)
    body: Json | None = None
    known: tuple[str, ...] = ()
    query: dict[str, Any] | None = None
    buyer: Buyer | None = None
    token: str | None = None
    operator: bool = False


ASKING: dict[str, Callable[[World], Asked]] = {}


def asks(*operations: str) -> Callable[[Callable[[World], Asked]], Callable[[World], Asked]]:
    def note(make: Callable[[World], Asked]) -> Callable[[World], Asked]:
        ASKING.update(dict.fromkeys(operations, make))
        return make

    return note


def ask(world: World, operation: str) -> Asked:
    return ASKING.get(operation, ask_anything)(world)


def ask_anything(world: World, names: Iterable[str] = ()) -> Asked:
    """Any scene that has these ids, with any of everything else."""
    wanted = {*names} - lasting_ids(world).keys() - {"name"}
    scenes = [scene for scene in world.scenes if wanted <= scene.ids.keys()]
    return about(world.dice.choice(scenes or world.scenes), world)


def about(scene: Scene, world: World, **more: Any) -> Asked:
    return Asked(lasting_ids(world) | scene.ids, **{"buyer": scene.buyer} | more)


def lasting_ids(world: World) -> Ids:
    """Of what no request uses up."""
    return {
        "organisation_id": world.organisation,
        "membership_id": world.membership,
        "venue_id": world.venue,
        "plan_id": world.plan,
        "version_id": world.version,
        "import_id": world.plan_import,
        "reconciliation_id": world.reconciliation,
        "letter_id": world.letter,
    }


def on_event(world: World, event: int, **more: Any) -> Asked:
    return about(Scene({"event_id": event}, world.stranger), world, **more)


# Accounts


@asks("POST /v1/accounts")
def add_account(world: World) -> Asked:
    body = {"email": f"{uuid4().hex}@usher.example", "name": "Alice"}
    return Asked(body=body, known=("email",))


@asks("POST /v1/tokens")
def add_token(world: World) -> Asked:
    buyer, made = world.add_buyer(), make_code()
    codes.mail_code(world.conn, buyer.id, "sign_in", made)
    by_code = {"request": made.request, "code": made.code}
    body = world.dice.choice([{"email": buyer.email}, by_code])
    return Asked(body=body, known=("request", "code") if body is by_code else ())


@asks("PATCH /v1/organisations/{organisation_id}")
def change_organisation(world: World) -> Asked:
    changes = [{"name": "Opera"}, {"address": "Lindenallee 1\nBerlin"}, {"vat_id": "DE 123456789"}]
    return Asked({"organisation_id": world.organisation}, world.dice.choice(changes))


@asks(f"PUT {SUSPENSION}", f"DELETE {SUSPENSION}")
def suspend_organisation(world: World) -> Asked:
    ids = {"organisation_id": world.add_organisation()}
    return Asked(ids, {"reason": "Its identity is being checked."})


@asks(f"GET {PROVIDER}", f"PUT {PROVIDER}", f"DELETE {PROVIDER}")
def set_identity_provider(world: World) -> Asked:
    world.conn.execute(
        """insert into identity_providers (organisation_id, issuer, client_id)
           values (%s, 'https://login.example', 'usher') on conflict do nothing""",
        [world.organisation],
    )
    body = {"issuer": "https://login.example", "client_id": "usher", "client_secret": "s3cret"}
    return Asked({"organisation_id": world.organisation}, body, ("issuer",))


@asks(f"GET {API_KEYS}", f"POST {API_KEYS}")
def add_api_key(world: World) -> Asked:
    role = world.dice.choice(["organiser", "finance", "door"])
    return Asked({"organisation_id": world.organisation}, {"name": "Gate", "role": role})


@asks(f"GET {API_KEY}", f"DELETE {API_KEY}", f"POST {API_KEY}/rotation")
def change_api_key(world: World) -> Asked:
    ids = {"organisation_id": world.organisation, "key_id": world.key_to_spare()}
    return Asked(ids, {"overlap_seconds": 60})


@asks(f"GET {MEMBER}", f"PATCH {MEMBER}", f"DELETE {MEMBER}")
def change_member(world: World) -> Asked:
    ids = {"organisation_id": world.organisation, "membership_id": world.add_member()}
    return Asked(ids, {"role": world.dice.choice(["finance", "door"])})


@asks(f"GET {INVITATIONS}", f"POST {INVITATIONS}", f"DELETE {INVITATIONS}/{{invitation_id}}")
def invite_member(world: World) -> Asked:
    ids = {"organisation_id": world.organisation, "invitation_id": world.invite()}
    body = {"email": f"staff-{uuid4().hex}@usher.example", "role": "analyst"}
    return Asked(ids, body, known=("email",))


# Venues and plans


@asks("POST /v1/venues")
def add_venue(world: World) -> Asked:
    body = {"name": "Opera", "time_zone": "Europe/Berlin", "organisation_id": world.organisation}
    return Asked(body=body, known=("time_zone", "organisation_id"))


@asks(f"POST {VENUE_PLANS}", "POST /v1/plan-preview", f"POST {VERSIONS}")
def import_plan(world: World) -> Asked:
    ids = {"venue_id": world.venue, "plan_id": world.plan}
    query = world.dice.choice([{}, {"guess": "false"}, {"unrelated": "true"}])
    body = describe_plan(world.dice.choice(["Hall", "Großer Saal", "大ホール"]), 3, 10)
    return Asked(ids, body, query=query)


# Events


@asks("POST /v1/events")
def add_event(world: World) -> Asked:
    fields = world.event_fields()
    times = ("starts_at", "on_sale_at", "off_sale_at")
    fields |= {name: fields[name].isoformat() for name in times}
    known = ("venue_id", "plan_version_id", "currency", "categories", *times)
    return Asked(body=fields | {"gateway_account_id": None}, known=(*known, "gateway_account_id"))


@asks(f"PATCH {EVENT}")
def change_event(world: World) -> Asked:
    return change_draft(world) if world.dice.random() < 0.5 else change_opened(world)


def change_opened(world: World) -> Asked:
    """What may be changed of an event that is on sale."""
    later = world.event_fields()["off_sale_at"] + timedelta(hours=1)
    changes: list[Json] = [
        {"name": "Carmen"},
        {"terms": "No cameras."},
        {"off_sale_at": later.isoformat()},
        {"booking_fee": 100, "hold_seconds": 600},
        {"categories": [{"category": PAID, "price": PRICE + 100, "fee": FEE}]},
        {"payment_methods": ["card"], "offline_seconds": None},
        {"gated": True, "claim_seconds": 30, "grace_seconds": 0, "pass_seconds": 60},
    ]
    body = world.dice.choice(changes)
    return on_event(world, world.open_event(), body=body, known=tuple(body))


def change_draft(world: World) -> Asked:
    asked = add_event(world)
    body = {name: asked.body[name] for name in ("currency", "categories")} if asked.body else {}
    return on_event(world, world.add_event(), body={"name": "Carmen"} | body, known=tuple(body))


@asks(f"POST {EVENT}/open")
def open_event(world: World) -> Asked:
    return on_event(world, world.add_event())


@asks(f"POST {EVENT}/close")
def close_event(world: World) -> Asked:
    return on_event(world, world.open_event())


@asks(f"POST {EVENT}/plan-version")
def move_event(world: World) -> Asked:
    body = {"plan_version_id": world.add_version()}
    return on_event(world, world.open_event(), body=body, known=("plan_version_id",))


@asks(f"POST {EVENT}/cancel")
def cancel_event(world: World) -> Asked:
    return on_event(world, world.open_event(), body={"reason": "the tenor is ill"})


@asks(f"DELETE {EVENT}")
def delete_draft(world: World) -> Asked:
    return on_event(world, world.add_event())


@asks(f"POST {EVENT}/postponements")
def postpone_event(world: World) -> Asked:
    now = datetime.now(UTC)
    times = {"starts_at": now + timedelta(days=90), "give_back_until": now + timedelta(days=30)}
    body = {name: time.isoformat() for name, time in times.items()} | {"reason": "a flood"}
    return on_event(world, world.open_event(), body=body, known=(*times, "venue_id"))


@asks(f"GET {EVENT}/postponements")
def list_postponements(world: World) -> Asked:
    return on_event(world, world.moved)


@asks(f"POST {BOOKING}/give-back")
def give_back(world: World) -> Asked:
    return about(world.postponed(), world)


@asks(f"GET {EVENT}/cancellation")
def get_cancellation(world: World) -> Asked:
    return on_event(world, world.cancelled)


@asks(f"POST {EVENT}/pause", f"POST {EVENT}/resume")
def pause(world: World) -> Asked:
    return on_event(world, world.queue_event())


@asks(f"PATCH {EVENT}/lane")
def change_lane(world: World) -> Asked:
    bodies = [{"weight": 2}, {"in_flight_cap": 10}, {"admission_rate": None}]
    return on_event(world, world.queue_event(), body=world.dice.choice(bodies))


@asks(f"POST {EVENT}/blocks", f"DELETE {EVENT}/blocks")
def block_seats(world: World) -> Asked:
    return on_event(world, world.queue_event(), body={"seats": ["1-1", "1-2"]}, known=("seats",))


@asks(f"GET {EVENT}/reports/{{name}}")
def get_report(world: World) -> Asked:
    ids = {"event_id": world.house, "name": world.dice.choice(report_names())}
    return about(Scene(ids, world.stranger), world)


# Lobbies


@asks(f"PUT {EVENT}/lobby")
def set_lobby(world: World) -> Asked:
    now = datetime.now(UTC)
    event = world.open_event(gated=True, on_sale_at=now + timedelta(hours=3))
    times = {"opens_at": now + timedelta(hours=1), "closes_at": now + timedelta(hours=2)}
    body = {name: time.isoformat() for name, time in times.items()}
    return on_event(world, event, body=body | {"public_source": SOURCE}, known=tuple(body))


@asks(f"GET {EVENT}/lobby")
def get_lobby(world: World) -> Asked:
    return on_event(world, world.dice.choice(world.lobbies))


@asks(f"POST {EVENT}/lobby/draw")
def give_public_value(world: World) -> Asked:
    return on_event(world, world.close_lobby(), body={"public_value": "7 11 13 17 19 23"})


@asks(f"GET {EVENT}/lobby/list", f"GET {EVENT}/lobby/order")
def get_list(world: World) -> Asked:
    return on_event(world, world.lobbies[-1])


# The queue


@asks(f"POST {EVENT}/queue")
def join_queue(world: World) -> Asked:
    event, buyer = world.queue, world.add_buyer()
    body = world.dice.choice([
        {"quantity": 2, "category": PAID},
        {"seats": ["2-1"], "accept_terms": True},
        {"quantity": 1, "admission": True},
    ])  # fmt: skip
    return on_event(world, event, body=body, buyer=buyer, known=("seats", "category"))


@asks(f"GET {ENTRY}", f"DELETE {ENTRY}")
def read_entry(world: World) -> Asked:
    scene = world.join(world.queue, admission=world.dice.random() < 0.5, category=None)
    return about(scene, world)


@asks(f"PATCH {ENTRY}")
def expect_total(world: World) -> Asked:
    total = PRICE + FEE
    return about(world.join(world.queue, expected=total), world, body={"expected_total": total})


@asks(f"POST {ENTRY}/pass")
def take_pass(world: World) -> Asked:
    return about(world.admitted(), world)


@asks(f"GET {EVENT}/queue/position")
def get_position(world: World) -> Asked:
    scene = world.join(world.queue)
    return about(scene, world, query={}, token=scene.more["ticket"])


# Bookings


@asks(f"POST {EVENT}/bookings")
def book(world: World) -> Asked:
    if world.dice.random() < 0.3:
        return book_with_pass(world)
    world.make_room()
    body = {"quantity": 2, "category": world.dice.choice([PAID, FREE]), "together": False}
    known = ("seats", "category", "pass")
    return on_event(world, world.house, body=body, buyer=world.add_buyer(), known=known)


def book_with_pass(world: World) -> Asked:
    scene = world.admitted()
    until = datetime.now(UTC) + timedelta(minutes=5)
    token = sign_pass(Pass(scene.event, scene.entry, scene.buyer.id, until))
    world.take_pass(scene)
    body = {"quantity": 1, "category": PAID, "pass": token}
    return about(scene, world, body=body, known=("category", "pass", "seats"))


@asks(f"DELETE {BOOKING}")
def cancel_booking(world: World) -> Asked:
    make = world.dice.choice([World.book, World.paying, World.reviewed])
    return about(make(world), world)


@asks(f"POST {BOOKING}/payment")
def pay(world: World) -> Asked:
    ways = [{"method": "card", "payment_method": "pm_card_visa"}, {"method": "offline"}]
    return about(world.book(), world, body=world.dice.choice(ways), known=("method", "return_url"))


@asks("GET /v1/me")
def get_me(world: World) -> Asked:
    return Asked(buyer=world.stranger)


@asks("GET /v1/me/bookings")
def list_bookings(world: World) -> Asked:
    return about(world.dice.choice(world.scenes), world, query={})


@asks(f"GET {BOOKING}/tickets/{{ticket_id}}.svg")
def draw_code(world: World) -> Asked:
    return about(world.ticketed, world)


# Refunds and offline money


@asks(f"POST {BOOKING}/refunds")
def request_refund(world: World) -> Asked:
    scene = world.confirmed()
    first = str(scene.more["tickets"][0])
    bodies: list[Json] = [{}, {"tickets": [first]}, {"amount": 100}]
    body = world.dice.choice(bodies) | {"reason": "ill"}
    return about(scene, world, body=body, known=("tickets", "amount"))


@asks(f"POST {REFUND}/retry")
def retry_refund(world: World) -> Asked:
    return about(world.owed(), world)


@asks(f"PUT {REFUND}/settlement")
def settle_refund(world: World) -> Asked:
    return about(world.owed(), world, body={"how": "by bank transfer"})


@asks(f"POST {EVENT}/counter-bookings")
def book_at_counter(world: World) -> Asked:
    world.make_room()
    body = {"quantity": 1, "category": PAID, "email": f"{uuid4().hex}@usher.example", "name": "Eve"}
    return on_event(world, world.house, body=body, known=("email", "category", "seats"))


@asks(f"POST {BOOKING}/payment/paid")
def mark_paid(world: World) -> Asked:
    scene = world.awaiting_money()
    return about(scene, world, body=scene.more["receipt"], known=("amount", "currency"))


@asks(f"POST {BOOKING}/transfers")
def record_transfer(world: World) -> Asked:
    scene = world.awaiting_money()
    body = scene.more["receipt"] | {"amount": world.dice.choice([1, 100, PRICE, 10 * PRICE])}
    return about(scene, world, body=body, known=("currency",))


@asks(f"PUT {TRANSFER}/surplus")
def decide_surplus(world: World) -> Asked:
    body = {"decision": world.dice.choice(["refunded", "kept"]), "how": "as agreed"}
    return about(world.overpaid(), world, body=body)


@asks(f"POST {REFUND}/paid")
def mark_refunded(world: World) -> Asked:
    return about(world.refunded(world.paid_offline()), world, body={"how": "in cash"})


# What a person decides


@asks(f"POST {BOOKING}/review")
def decide_review(world: World) -> Asked:
    body = {"decision": world.dice.choice(["approve", "reject"]), "reason": "a regular"}
    return about(world.reviewed(), world, body=body | {"payment_id": None}, known=("payment_id",))


@asks(f"PUT {RISK}/rules/{{name}}")
def set_rule(world: World) -> Asked:
    ids = {"organisation_id": world.organisation, "name": world.dice.choice(RULES)}
    return Asked(ids, {"window_seconds": 3600, "most": 5, "action": "review"})


@asks(f"PATCH {RISK}")
def change_rules(world: World) -> Asked:
    ids = {"organisation_id": world.organisation}
    return Asked(ids, {"review_seconds": 3600, "review_ends": "reject"})


@asks(f"POST {BOOKING}/release")
def dismiss_warning(world: World) -> Asked:
    return about(world.warned(), world, body={"reason": "the buyer was called"})


@asks(f"PUT {BOOKING}/address")
def correct_address(world: World) -> Asked:
    return about(world.refused_mail(), world, body={"email": "carol@usher.example"})


@asks(f"PUT {BOOKING}/deadline")
def extend_deadline(world: World) -> Asked:
    deadline = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    return about(world.awaiting_money(), world, body={"deadline": deadline})


@asks(
    f"GET {BOOKING}/details", f"GET {BOOKING}/timeline", f"GET {BOOKING}/notes",
    f"POST {BOOKING}/notes", f"PUT {BOOKING}/tags", f"PUT {BOOKING}/name",
)  # fmt: skip
def keep_record(world: World) -> Asked:
    return about(world.confirmed(), world)


@asks(f"GET {FOUND}")
def find_bookings(world: World) -> Asked:
    wanted = [{}, {"name": "eve"}, {"state": "confirmed"}, {"seat": "1 1", "event_id": world.house}]
    query: Any = world.dice.choice([*wanted, None])
    return Asked({"organisation_id": world.organisation}, query=query)


@asks(f"POST {EVENT}/copies")
def copy_event(world: World) -> Asked:
    starts = (datetime.now(UTC) + timedelta(days=90)).isoformat()
    return on_event(world, world.house, body={"starts_at": starts})


@asks(f"POST {BOOKING}/emails")
def resend(world: World) -> Asked:
    return about(world.confirmed(), world)


# Operators


@asks(f"GET {LETTER}")
def get_letter(world: World) -> Asked:
    return Asked({"letter_id": world.letter}, operator=True)


@asks(f"POST {LETTER}/retry")
def retry(world: World) -> Asked:
    return Asked({"letter_id": world.dead_letter()}, operator=True)


@asks("POST /v1/dead-letters/retry")
def retry_many(world: World) -> Asked:
    world.dead_letter()
    return Asked(body={"limit": 2}, operator=True)


@asks(f"POST {LETTER}/discard")
def discard(world: World) -> Asked:
    return Asked({"letter_id": world.dead_letter()}, {"reason": "known"}, operator=True)


@asks(
    "GET /v1/dead-letters", "GET /v1/tasks", "GET /v1/payments-in-doubt", "GET /v1/audit",
    "GET /v1/emails-in-trouble", "GET /v1/reconciliations",
    "GET /v1/reconciliations/differences", "GET /v1/reconciliations/{reconciliation_id}",
    "GET /v1/reconciliations/{reconciliation_id}/differences",
)  # fmt: skip
def read_lists(world: World) -> Asked:
    query: dict[str, Any] | None = world.dice.choice([{}, None])
    return Asked({"reconciliation_id": world.reconciliation}, query=query, operator=True)


@asks("GET /v1/receipts")
def list_receipts(world: World) -> Asked:
    return Asked(query={"organisation_id": world.organisation})
