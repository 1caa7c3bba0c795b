"""The world that made-up requests meet: an organisation with a venue, plans and events, buyers, and
bookings in every state.

What a request uses up is made anew for each, by the functions that production uses. The gateway's
part is played by this module, which records what the gateway would have said; no worker runs, so
that a seed gives the same run again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from db.accounts import accounts, api_keys, invitations, sessions
from db.accounts.api_keys import EVERYTHING, NewKey
from db.bookings import bookings
from db.catalogue import events, plan_imports, plans, venues
from db.catalogue.plan_imports import Wanted
from db.catalogue.seating import read_plan
from db.connections import Conn, one
from db.payments import (
    event_cancellations,
    offline,
    payments,
    postponements,
    reconciliations,
    refunds,
)
from db.payments.payments import PaymentOutcome
from db.payments.refunds import RefundOutcome
from db.payments.reviews import Facts
from db.queue import entries, lanes, lobbies
from db.runtime.errors import UsherError
from ops.fuzz.plans import FEW_ROWS, FEW_SEATS, ROWS, SEATS, draw_plan
from web.queue.tokens import QueueToken, sign_queue_token
from web.support.sessions import make_tokens

PRICE, FEE = 5000, 250
PAID, FREE = 1, 2
"""The categories of the plan."""
MOST_BOOKINGS = ROWS * SEATS // 8
"""Of an event, before another one is opened: what is asked for at random takes seats, too."""
SOURCE = "the first numbers of the lottery of the day"
JOIN = "select * from join_queue(%s, %s, uuid7()::text, '', 1, %s, true, 0, null, false, %s, %s)"

Ids = dict[str, Any]
"""Values of path parameters, by their names."""


@dataclass(frozen=True)
class Buyer:
    id: int
    email: str
    token: str


@dataclass(frozen=True)
class Scene:
    """What a request may be about: ids that belong together, and the buyer whose they are."""

    ids: Ids
    buyer: Buyer
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def event(self) -> int:
        return int(self.ids["event_id"])

    @property
    def booking(self) -> UUID:
        return UUID(str(self.ids["booking_id"]))

    @property
    def entry(self) -> UUID:
        return UUID(str(self.ids["entry_id"]))


class World:
    """Everything that requests are about. `conn` is in autocommit mode, on the app's database."""

    def __init__(self, conn: Conn, dice: Random) -> None:
        self.conn, self.dice = conn, dice
        self.organisation = api_keys.add_organisation(conn, "Opera")
        self.rival = self.add_organisation()
        self.keys = {
            "organisation": self._add_key("organiser", self.organisation),
            "other organisation": self._add_key("organiser", self.rival),
            "operator": self._add_key("operator", None),
        }
        self.membership = self.add_member("owner")
        self.venue = int(self._add_venue()["id"])
        self.plan = self._add_plan("Small hall")
        self.version = self.add_version()
        self.plan_import = self._start_import()
        self.large_version = self._add_version(self._add_plan("Great hall"), ROWS, SEATS)
        self.stranger = self.add_buyer()
        self.booked = 0
        self.house = self.open_house()
        self.queue = self.queue_event()
        self.lobbies = self._stage_lobbies()
        self.scenes = [stage(self) for stage in STAGES for _ in range(2)]
        self.ticketed = self.free()
        self.cancelled = self._cancel()
        self.moved = self.postponed().event
        self.letter = self.dead_letter()
        self.reconciliation = self._reconcile()
        self._write_history()

    def _add_key(self, role: str, organisation_id: int | None) -> str:
        return api_keys.add_key(self.conn, role, "fuzz", organisation_id, EVERYTHING)

    def add_organisation(self) -> int:
        return api_keys.add_organisation(self.conn, "Circus")

    def lift_suspensions(self) -> None:
        """Let organisations sell again that a made-up request has suspended."""
        self.conn.execute("""
            update organisations set suspended_at = null, suspension = null
            where suspended_at is not null""")

    def add_member(self, role: str = "door") -> int:
        """The id of a membership in the organisation."""
        member = self.add_buyer().id
        query = """
            insert into memberships (account_id, organisation_id, role) values (%s, %s, %s)
            returning id"""
        return int(one(self.conn.execute(query, [member, self.organisation, role]))["id"])

    def invite(self) -> int:
        """The id of an invitation into the organisation."""
        email = f"staff-{uuid4().hex}@usher.example"
        with self.conn.transaction():
            return invitations.invite(self.conn, self.organisation, email, "door")

    def key_to_spare(self) -> int:
        """The id of a key of the organisation that no request comes with."""
        wanted = NewKey("door", "fuzz")
        return api_keys.create_key(self.conn, self.organisation, wanted)[0]

    # The catalogue

    def _add_venue(self) -> dict[str, Any]:
        return venues.add_venue(self.conn, self.organisation, "Opera", "Berlin", "Europe/Berlin")

    def _add_plan(self, name: str) -> int:
        return plans.add_plan(self.conn, self.organisation, self.venue, name)

    def add_version(self) -> int:
        """Another version of the small plan, all seats as they are."""
        return self._add_version(self.plan, FEW_ROWS, FEW_SEATS)

    def _add_version(self, plan: int, rows: int, seats: int) -> int:
        source = draw_plan("Hall", rows, seats)
        with self.conn.transaction():
            added = plans.add_version(
                self.conn, self.organisation, plan, read_plan(source), source, unrelated=True
            )
        return int(added["version_id"])

    def _start_import(self) -> int:
        """A plan that waits to be read, since no worker runs."""
        wanted = Wanted(
            venue_id=self.venue,
            plan_id=self.plan,
            name=None,
            strict=False,
            guess=True,
            unrelated=True,
        )
        source = draw_plan("Arena", FEW_ROWS, FEW_SEATS)
        return plan_imports.start_import(self.conn, self.organisation, wanted, source)

    def event_fields(self) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "name": "Tosca",
            "venue_id": self.venue,
            "plan_version_id": self.version,
            "starts_at": now + timedelta(days=60),
            "on_sale_at": now - timedelta(hours=1),
            "off_sale_at": now + timedelta(days=59),
            "currency": "EUR",
            "gated": False,
            "seats_per_buyer": 50,
            "hold_seconds": 3600,
            "offline_seconds": 86_400,
            "categories": [
                {"category": PAID, "price": PRICE, "fee": FEE, "tax_rate": 0.19},
                {"category": FREE, "price": 0, "fee": 0, "tax_rate": 0.0},
            ],
        }

    def add_event(self, **changes: Any) -> int:
        """A draft."""
        fields = DEFAULTS | self.event_fields() | changes
        prices = fields.pop("categories")
        with self.conn.transaction():
            return events.add_event(self.conn, self.organisation, fields, prices)

    def open_event(self, **changes: Any) -> int:
        event = self.add_event(**changes)
        with self.conn.transaction():
            events.open_sale(self.conn, self.organisation, event)
        return event

    def open_house(self) -> int:
        """The event that most bookings are of."""
        return self.open_event(plan_version_id=self.large_version)

    def _cancel(self) -> int:
        event = self.open_event()
        with self.conn.transaction():
            event_cancellations.cancel_event(
                self.conn, None, event, "the tenor is ill", with_fees=True
            )
        return event

    def postpone(self, event: int) -> int:
        """Its buyers may give their bookings back from now on."""
        now = datetime.now(UTC)
        asked = postponements.Postponement(
            starts_at=now + timedelta(days=90),
            time_zone=None,
            venue_id=None,
            give_back_until=now + timedelta(days=30),
            reason="the stage was flooded",
        )
        with self.conn.transaction():
            postponements.postpone_event(self.conn, None, event, asked)
        return event

    # Buyers

    def add_buyer(self) -> Buyer:
        """A buyer who has signed in by a mailed code."""
        email = f"buyer-{uuid4().hex}@usher.example"
        buyer = accounts.add_account(self.conn, email, "Bob", None)
        query = "update accounts set verified_at = clock_timestamp() where id = %s"
        self.conn.execute(query, [buyer])
        opened = sessions.open_session(self.conn, buyer, "code", "fuzz")
        return Buyer(buyer, email, make_tokens(opened)["token"])

    # Queues and lobbies

    def join(
        self, event: int, *, admission: bool = False, category: int | None = PAID,
        expected: int | None = None,
    ) -> Scene:  # fmt: skip
        buyer, wish = self.add_buyer(), [category, admission, expected]
        entry = one(self.conn.execute(JOIN, [event, buyer.id, *wish]))
        if entry["outcome"] != "joined":  # what is made up may have closed the event
            assert event == self.queue, entry
            self.queue = event = self.queue_event()
            entry = one(self.conn.execute(JOIN, [event, buyer.id, *wish]))
        token = sign_queue_token(QueueToken(event, entry["id"], entry["number"], buyer.id))
        return Scene({"event_id": event, "entry_id": entry["id"]}, buyer, {"ticket": token})

    def admitted(self) -> Scene:
        """An entry that is offered a pass."""
        scene = self.join(self.queue_event(), admission=True, category=None)
        self.drain(scene.event)
        return scene

    def take_pass(self, scene: Scene) -> None:
        entries.take_pass(self.conn, scene.event, scene.entry, scene.buyer.id)

    def queue_event(self) -> int:
        """An event that is sold through its queue alone."""
        return self.open_event(gated=True)

    def drain(self, event: int) -> None:
        with self.conn.transaction():
            assert lanes.lock_lane(self.conn, event)
            lanes.drain(self.conn, event, 100)

    def decide(self, event: int) -> None:
        """What a worker would do: decide the entries that wait."""
        with self.conn.transaction():
            if lanes.lock_lane(self.conn, event):
                lanes.drain(self.conn, event, 100)

    def announce_lobby(self, source: str | None = SOURCE) -> int:
        now = datetime.now(UTC)
        event = self.open_event(gated=True, on_sale_at=now + timedelta(hours=3))
        times = (now + timedelta(hours=1), now + timedelta(hours=2))
        with self.conn.transaction():
            lobbies.set_lobby(self.conn, self.organisation, event, times, source)
        return event

    def close_lobby(self, source: str | None = SOURCE) -> int:
        """An event whose lobby was entered and has closed; its list is published."""
        event = self.announce_lobby(source)
        self._move_lobby(event, opened=60, closed=-3600)
        for _ in range(3):
            self.join(event)
        self._move_lobby(event, opened=3600, closed=10)
        lobbies.tend(self.conn, event)
        return event

    def _move_lobby(self, event: int, opened: float, closed: float) -> None:
        """Seconds ago."""
        with self.conn.transaction():
            self.conn.execute(
                """update events set lobby_closes_at = now() - make_interval(secs => %s),
                    lobby_opens_at = now() - make_interval(secs => %s) where id = %s""",
                [closed, opened, event],
            )
            query = "update draws set committed_at = now() - interval '1 d' where event_id = %s"
            self.conn.execute(query, [event])

    def _stage_lobbies(self) -> list[int]:
        """Events whose lobbies are announced, closed and drawn."""
        drawn = self.close_lobby(None)
        lobbies.tend(self.conn, drawn)
        return [self.announce_lobby(), self.close_lobby(), drawn, drawn]

    # Bookings, and the saga's steps as if the gateway had answered

    def book(self, category: int = PAID, quantity: int = 2) -> Scene:
        """Seats that are held."""
        self.make_room()
        try:
            return self._book(category, quantity)
        except UsherError:  # what is made up may have closed the event, or joined its queue
            self.house = self.open_house()
            return self._book(category, quantity)

    def make_room(self) -> None:
        """Note that seats are about to be booked, and open another event where few are left."""
        self.booked += 1
        if self.booked % MOST_BOOKINGS == 0:
            self.house = self.open_house()

    def _book(self, category: int, quantity: int) -> Scene:
        buyer = self.add_buyer()
        wish = {"event_id": self.house, "buyer_id": buyer.id, "quantity": quantity, "seats": None}
        wish |= {"category": category, "together": False, "accessible": 0, "entry_id": None}
        with self.conn.transaction():
            booking = bookings.book_seats(self.conn, wish | {"accept_terms": True}, 1e6)
        return Scene({"event_id": self.house, "booking_id": booking}, buyer)

    def pay(self, scene: Scene, method: str = "card") -> None:
        means = None if method == "offline" else "pm_card_visa"
        with self.conn.transaction():
            payments.start_payment(
                self.conn, scene.event, scene.booking, scene.buyer.id, method, means,
                "https://usher.example",
            )  # fmt: skip

    def paying(self) -> Scene:
        scene = self.book()
        self.pay(scene)
        return scene

    def record(self, scene: Scene, state: str, **more: Any) -> payments.PaymentProgress:
        """The gateway says what the payment is."""
        progress = payments.get_progress(self.conn, scene.event, scene.booking)
        ref = progress.gateway_ref or f"pi_{progress.payment_id}"
        said = PaymentOutcome(state, ref, progress.amount, progress.payment_currency, **more)
        assert payments.record(self.conn, progress, said)
        return payments.get_progress(self.conn, scene.event, scene.booking)

    def authorise(self, scene: Scene, *, review: bool = False) -> None:
        """The money is reserved, and the seats are safe, or a person has to look at it first."""
        facts = Facts(
            card_fingerprint=uuid4().hex, card_country="DE", card_checks={"cvc_check": "pass"},
            risk_level="normal", risk_score=7, gateway_review=review,
        )  # fmt: skip
        with self.conn.transaction():
            # Rules that were made up would have another payment reviewed, or this one not.
            self.conn.execute("delete from review_rules")
            progress = self.record(scene, "authorised", facts=facts)
            became = payments.secure_or_review(self.conn, progress)
            assert became == ("review" if review else "secured"), became

    def confirm(self, scene: Scene) -> None:
        with self.conn.transaction():
            progress = payments.get_progress(self.conn, scene.event, scene.booking)
            progress = self.record(scene, "captured", captured=progress.amount)
            assert payments.confirm_booking(self.conn, progress)
            query = "delete from outbox where actor = 'advance' and key = %s"
            self.conn.execute(query, [str(progress.booking_id)])

    def reviewed(self) -> Scene:
        scene = self.paying()
        self.authorise(scene, review=True)
        return scene

    def confirmed(self) -> Scene:
        scene = self.paying()
        self.authorise(scene)
        self.confirm(scene)
        return self._with_tickets(scene)

    def postponed(self) -> Scene:
        """A booking of an event that was postponed since."""
        house, self.house = self.house, self.open_event()
        scene, self.house = self.confirmed(), house
        self.postpone(scene.event)
        return scene

    def free(self) -> Scene:
        return self._with_tickets(self.book(FREE))

    def _with_tickets(self, scene: Scene) -> Scene:
        query = "select id from tickets where event_id = %s and booking_id = %s order by seat"
        rows = self.conn.execute(query, [scene.event, scene.booking]).fetchall()
        tickets = [row["id"] for row in rows]
        return Scene(scene.ids | {"ticket_id": tickets[0]}, scene.buyer, {"tickets": tickets})

    def awaiting_money(self) -> Scene:
        """A booking that is to be paid offline."""
        scene = self.book()
        self.pay(scene, "offline")
        return Scene(scene.ids, scene.buyer, {"receipt": self._receipt(scene)})

    def _receipt(self, scene: Scene) -> dict[str, Any]:
        progress = payments.get_progress(self.conn, scene.event, scene.booking)
        return {"reference": uuid4().hex, "amount": progress.amount, "currency": progress.currency}

    def paid_offline(self) -> Scene:
        scene = self.awaiting_money()
        with self.conn.transaction():
            receipt = scene.more["receipt"]
            offline.record_payment(self.conn, None, scene.event, scene.booking, receipt)
        self.authorise(scene)
        self.confirm(scene)
        return self._with_tickets(scene)

    def overpaid(self) -> Scene:
        """With a transfer of more than it costs."""
        scene = self.awaiting_money()
        receipt = scene.more["receipt"]
        with self.conn.transaction():
            transfer = receipt | {"amount": receipt["amount"] + 1}
            got = offline.record_transfer(self.conn, None, scene.event, scene.booking, transfer)
        return Scene(scene.ids | {"transfer_id": got["id"]}, scene.buyer, scene.more)

    def refunded(self, scene: Scene, **asked: Any) -> Scene:
        """With a refund that is pending."""
        wish = {"tickets": None, "amount": None, "with_fees": True, "resell": True, "reason": "ill"}
        with self.conn.transaction():
            event, booking = scene.event, scene.booking
            answer = refunds.request_refund(self.conn, None, event, booking, wish | asked)
        return Scene(scene.ids | {"refund_id": answer["refund"]["id"]}, scene.buyer, scene.more)

    def owed(self) -> Scene:
        """With a refund that failed."""
        scene = self.refunded(self.confirmed())
        self._settle(scene, "failed")
        return scene

    def _settle(self, scene: Scene, state: str) -> None:
        """The gateway says what became of the refund."""
        with self.conn.transaction():
            progress = refunds.get_progress(self.conn, scene.ids["refund_id"])
            ref, failure = f"re_{progress.refund_id}", "declined" if state == "failed" else None
            said = RefundOutcome(state, ref, progress.amount, progress.currency, failure, failure)
            assert refunds.record(self.conn, progress, said)
            query = "select id from outbox where actor = 'refund' and key = %s"
            task = int(one(self.conn.execute(query, [str(progress.refund_id)]))["id"])
        if failure:
            self.dead_letter(task, "the card was closed")
        else:
            self.conn.execute("delete from outbox where id = %s", [task])

    def given_back(self) -> Scene:
        scene = self.refunded(self.confirmed())
        self._settle(scene, "succeeded")
        return scene

    def warned(self) -> Scene:
        """Frozen, since its payment looks like fraud to the bank."""
        scene = self.confirmed()
        event, booking = scene.event, scene.booking
        query = """insert into fraud_warnings (gateway_ref, payment_id, event_id, booking_id, kind,
            actionable) select %s, payment_id, event_id, id, 'misc', true from bookings
            where event_id = %s and id = %s returning payment_id"""
        row = one(self.conn.execute(query, [f"issfr_{uuid4().hex}", event, booking]))
        query = "select freeze_for_fraud_warning(%s, %s)"
        self.conn.execute(query, [event, row["payment_id"]])
        return scene

    def disputed(self) -> Scene:
        scene = self.confirmed()
        query = """select record_dispute(event_id, id, %s, 'needs_response', 'fraudulent', amount,
            currency, now() + interval '7 d') from payments
            where event_id = %s and booking_id = %s"""
        values = [f"du_{uuid4().hex}", scene.event, scene.booking]
        self.conn.execute(query, values)
        return scene

    def refused_mail(self) -> Scene:
        """A booking whose ticket mail was refused for good."""
        scene = self.confirmed()
        event, booking = scene.event, scene.booking
        query = """update emails set state = 'failed', last_error = '550 no such mailbox'
            where event_id = %s and booking_id = %s and state = 'pending' returning id"""
        for row in self.conn.execute(query, [event, booking]).fetchall():
            query = """select id from outbox
                where actor = 'send_email' and args ->> 'email_id' = %s::text"""
            task = one(self.conn.execute(query, [str(row["id"])]))
            self.dead_letter(int(task["id"]), "550 no such mailbox")
        return scene

    # Work and its history

    def add_task(self) -> int:
        """A task about nothing, which no one waits for."""
        query = "select enqueue('tell_of_postponement', 'mail', %s, %s, %s) as id"
        values = [uuid4().hex, Jsonb({"booking_id": str(uuid4())}), self.house]
        return int(one(self.conn.execute(query, values))["id"])

    def dead_letter(self, task: int | None = None, reason: str = "it fails each time") -> int:
        """An open dead letter with a history; its id."""
        task, token = task or self.add_task(), uuid4()
        with self.conn.transaction():
            self.conn.execute(
                """update outbox set lease_token = %s, lease_until = now() + interval '1 min',
                    claims = 1, leased_by = 'worker.1' where id = %s""",
                [token, task],
            )
            query = "select dead_letter_tasks(%s, %s, %s, false, true)"
            self.conn.execute(query, [[task], token, reason])
            query = "select id from dead_letters where task_id = %s order by id desc limit 1"
            return int(one(self.conn.execute(query, [task]))["id"])

    def _write_history(self) -> None:
        """Rows in the lists that operators and organisers read."""
        self.conn.execute("select number_receipts(%s, 500)", [self.organisation])
        query = """update payments set state = 'unknown', updated_at = now() - interval '1 h'
            where event_id = %s and booking_id = %s"""
        doubtful = self.paying()
        self.conn.execute(query, [doubtful.event, doubtful.booking])
        with self.conn.transaction():
            events.change_lane(self.conn, None, self.house, {"weight": 2.0})

    def _reconcile(self) -> int:
        """A run that found a difference; its id."""
        scene, now = self.confirmed(), datetime.now(UTC)
        query = """update payments set updated_at = updated_at - interval '1 h'
            where event_id = %s and booking_id = %s returning *"""
        ours = one(self.conn.execute(query, [scene.event, scene.booking]))
        less = ours["captured"] - 100
        theirs = reconciliations.Payment(
            ours["gateway_ref"], now, "captured", ours["amount"], "EUR", less, 0, ours["id"]
        )
        with self.conn.transaction():
            (run,) = reconciliations.start(self.conn, now - timedelta(hours=1), now)
            page = reconciliations.Page([theirs], None)
            reconciliations.take_page(self.conn, reconciliations.get_run(self.conn, run), page)
        return run


DEFAULTS: dict[str, Any] = {
    "time_zone": None,
    "gateway_account_id": None,
    "booking_fee": 0,
    "booking_fee_tax_rate": 0,
    "terms": "",
    "claim_seconds": 600,
    "grace_seconds": 300,
    "pass_seconds": 600,
    "payment_methods": ["card"],
    "offline_instructions": "",
    "accessible_release_seconds": None,
}
"""What the API fills in, where it is not given."""

STAGES: list[Callable[[World], Scene]] = [
    World.book,
    World.paying,
    World.reviewed,
    World.confirmed,
    World.free,
    World.awaiting_money,
    World.paid_offline,
    World.owed,
    World.given_back,
    lambda world: world.refunded(world.confirmed()),
    World.warned,
    World.disputed,
    World.postponed,
    World.refused_mail,
    lambda world: world.join(world.queue),
]
