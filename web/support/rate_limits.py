"""Rate limits: one table of how often requests of a class may come from an account, an address or
an API key, and for an event.

The defaults stop one who tries many times, and are not felt by a crowd: hundreds of buyers may
share an address. Counts are in Redis (CACHE_URL); while it is away, each process counts for
itself. The setting LIMITS changes the table, and answers say what is left (RateLimit-*).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, cast

import structlog
from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, parse_many
from werkzeug.middleware.proxy_fix import ProxyFix

from db.payments.decline_limits import DECLINES
from db.runtime.settings import SettingsError, settings
from web.queue.board import Board
from web.support.client_address import client
from web.support.errors import problem
from web.support.request_counts import Counted, RequestCounts
from web.support.snapshots import Snapshots

TABLE: dict[str, dict[str, str]] = {
    "sign_up": {"address": "600 per minute; 3000 per hour"},
    "sign_in": {"address": "120 per minute; 1200 per hour"},
    "password": {
        "mailbox": "50 per hour",
        "mailbox_at_address": "10 per 15 minutes",
        "wrong_at_address": "60 per 15 minutes",
    },
    "code": {"mailbox_at_address": "3 per hour", "wrong_at_address": "30 per hour"},
    "join": {"account": "10 per minute", "address": "600 per minute"},
    "leave": {"account": "10 per minute", "address": "600 per minute"},
    "pass": {"account": "20 per minute", "address": "600 per minute"},
    "book": {
        "account": "5 per minute",
        "account_refused": "30 per minute",
        "address": "600 per minute",
    },
    "pay": {"account": "10 per minute; 30 per hour", "address": "1200 per minute"},
    "cancel": {"account": "10 per minute", "address": "600 per minute"},
    "position": {"account": "60 per minute", "address": "24000 per minute"},
    "entry": {"account": "60 per minute", "address": "24000 per minute"},
    "read": {
        "account": "600 per minute",
        "api_key": "6000 per minute",
        "address": "24000 per minute",
    },
    "change": {
        "account": "60 per minute",
        "api_key": "3000 per minute",
        "address": "6000 per minute",
    },
    "personal_data": {
        "account": "20 per hour",
        "api_key": "600 per hour",
        "address": "600 per hour",
    },
    "plan_import": {"api_key": "60 per hour"},
    "event": {"event": "1000 per second", "hot_event": "10000 per second"},
    "declines": DECLINES,
}
"""By class of routes, and by what is counted. In fixed windows. `account_unverified`, where it is
given, is for accounts whose address was not verified, in place of `account`. `account_refused`,
where it is given, is for requests that were refused (4xx): they change nothing and are counted
there alone, so that seats which others take meanwhile do not cost a buyer the next try. An event is
hot while 1,000 wait in its queue. A `plan_import` is a plan of more than 1 MiB, which is stored
before it is read. Payments that are declined are counted from their rows, not from
requests: db/payments/decline_limits.py."""

CLASSES = {
    "accounts.add_account": "sign_up",
    "sign_in.add_token": "sign_in",
    "sign_in.refresh_tokens": "sign_in",
    "sign_in_page.sign_in": "sign_in",
    "oidc.begin_sign_in": "sign_in",
    "oidc.finish_sign_in": "sign_in",
    "passkeys.ask_sign_in": "sign_in",
    "passkeys.sign_in_by_passkey": "sign_in",
    "queue.join_queue": "join",
    "queue.leave_queue": "leave",
    "queue.take_pass": "pass",
    "queue.get_position": "position",
    "queue.get_entry": "entry",
    "bookings.book_seats": "book",
    "bookings.pay_booking": "pay",
    "bookings.cancel_booking": "cancel",
    "postponements.give_back": "cancel",
    "personal_data.export_own_data": "personal_data",
    "personal_data.erase_own_data": "personal_data",
    "personal_data.export_account": "personal_data",
}
"""By endpoint; others are `read` or `change` by their method."""

UNLIMITED = {
    "health.get_health",
    "health.get_readiness",
    "metrics",
    "gateway_notifications.receive_notification",
}
"""Machines of our own, and the gateway, whose notifications are signed."""

HOT = 1000  # waiting in the queue
SOME_WRONG = 5  # passwords: after them an address is not preferred

WHOSE = {
    "address": "from your address",
    "wrong_at_address": "from your address",
    "mailbox": "for this mailbox",
    "mailbox_at_address": "for this mailbox from your address",
    "api_key": "with your API key",
    "event": "for this event",
    "hot_event": "for this event",
}

log = structlog.get_logger()


class TooMany(Exception):
    """A limit is exceeded."""

    def __init__(self, counted: Counted, by: str) -> None:
        super().__init__(counted.name)
        self.counted, self.by = counted, by


@dataclass(frozen=True)
class Limiter:
    """The table as it is in this process, and its counts."""

    table: dict[str, dict[str, list[RateLimitItem]]]
    counts: RequestCounts
    networks: Sequence[Any]

    def is_unlimited(self, address: str) -> bool:
        """Whether requests from there are not counted by address."""
        if not self.networks:
            return False
        try:
            found = ip_address(address.partition("/")[0])
        except ValueError:
            return False
        return any(found in network for network in self.networks)

    def spend(self, kind: str, ids: dict[str, str]) -> None:
        """Count a request of a class by those ids for which the table has limits.

        Errors: TooMany.
        """
        self.spend_in_turn([(kind, ids)])

    def spend_in_turn(
        self, asked: Sequence[tuple[str, dict[str, str]]], known: "Known | None" = None
    ) -> None:
        """Count a request by several classes and ids, in one round trip: what one of them refuses
        takes nothing from those after it. known: where to keep what was counted; by default that of
        Flask's request.

        Errors: TooMany.
        """
        if not (steps := [step for kind, ids in asked if (step := self._limits_of(kind, ids))]):
            return
        counted = self.counts.add([[(name, limit) for _, name, limit in step] for step in steps])
        note([each for step in counted for each in step], known)
        last = steps[len(counted) - 1]
        refuse_exceeded(counted[-1], [by for by, _, _ in last], lambda c: c.is_exceeded)

    def take_back(self, kind: str, ids: dict[str, str]) -> None:
        """Undo what `spend` counted."""
        if wanted := self._limits_of(kind, ids):
            note(self.counts.take_back([(name, limit) for _, name, limit in wanted]))

    def check(self, kind: str, ids: dict[str, str]) -> int:
        """Refuse a request whose limits are used up by what was counted before, and count nothing;
        the most that was counted.

        Errors: TooMany.
        """
        if not (wanted := self._limits_of(kind, ids)):
            return 0
        counted = self.counts.look([(name, limit) for _, name, limit in wanted])
        refuse_exceeded(counted, [by for by, _, _ in wanted], lambda c: not c.remaining)
        return max(c.count for c in counted)

    def _limits_of(self, kind: str, ids: dict[str, str]) -> list[tuple[str, str, RateLimitItem]]:
        limits = self.table.get(kind, {})
        return [
            (by, f"{kind}:{by}:{id}", limit)
            for by, id in ids.items()
            for limit in limits.get(by, ())
        ]


def refuse_exceeded(
    counted: Sequence[Counted], counted_by: Sequence[str], is_exceeded: Callable[[Counted], bool]
) -> None:
    """Errors: TooMany, of the limit whose window ends last."""
    pairs = [pair for pair in zip(counted, counted_by, strict=True) if is_exceeded(pair[0])]
    if pairs:
        raise TooMany(*max(pairs, key=lambda pair: pair[0].reset))


Known = dict[tuple[str, str], Counted]
"""What was counted for a request, by name and limit."""


def note(counted: Sequence[Counted], known: Known | None = None) -> None:
    """Keep what was counted, for the answer's headers. What was counted anew replaces what is
    known."""
    kept: Known = g.setdefault("counted", {}) if known is None else known
    kept |= {(c.name, str(c.limit)): c for c in counted}


def tell_left(known: Known) -> dict[str, str]:
    """Headers that say what is left of the limit of which least is left."""
    tightest = min(known.values(), key=lambda c: c.remaining / c.limit.amount)
    return {
        "RateLimit-Limit": str(tightest.limit.amount),
        "RateLimit-Remaining": str(tightest.remaining),
        "RateLimit-Reset": str(tightest.reset),
    }


def parse_table(changes: str) -> dict[str, dict[str, list[RateLimitItem]]]:
    """The table with the changes of the setting LIMITS. Errors: SettingsError."""
    table = {
        kind: {by: list(parse_many(text)) for by, text in limits.items()}
        for kind, limits in TABLE.items()
    }
    for kind, by, text in read_changes(changes):
        if kind not in table:
            raise SettingsError(f"LIMITS names no class of the table: {kind}")
        try:
            table[kind][by] = [] if text == "off" else list(parse_many(text))
        except ValueError:
            raise SettingsError(f"LIMITS must be like book.account=20 per minute: {text}") from None
    return table


def read_changes(changes: str) -> Iterator[tuple[str, str, str]]:
    for change in filter(None, map(str.strip, changes.split(","))):
        name, _, text = change.partition("=")
        kind, _, by = name.strip().partition(".")
        if not by or not text:
            raise SettingsError(f"LIMITS must be like book.account=20 per minute: {change}")
        yield kind, by, text.strip()


def limit_requests(app: Flask) -> None:
    """Limit requests; call it after the blueprints are registered."""
    if settings().rate_limits == "off":
        return
    networks = [ip_network(text, strict=False) for text in settings().unlimited_addresses.split()]
    app.extensions["rate_limits"] = Limiter(
        parse_table(settings().limits), RequestCounts(settings().cache_url), networks
    )
    app.register_error_handler(TooMany, refuse)
    app.before_request(spend_address)
    app.after_request(add_headers)
    app.after_request(count_refused)  # before that: the last one runs first


def trust_proxies(app: Flask) -> None:
    """Read clients' addresses from X-Forwarded-For; call it last, for all that reads addresses."""
    if proxies := settings().trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]


def current_limiter() -> Limiter | None:
    """The limiter; None: limits are off."""
    return cast(Limiter | None, current_app.extensions.get("rate_limits"))


def request_class() -> str:
    return class_of(request.endpoint or "", request.method)


def class_of(endpoint: str, method: str) -> str:
    return CLASSES.get(endpoint, "read" if method in ("GET", "HEAD", "OPTIONS") else "change")


def spend_address() -> None:
    """Count the request by its address, and then for its event. Errors: TooMany."""
    limiter = current_limiter()
    if limiter is not None and request.endpoint not in UNLIMITED:
        event_id = (request.view_args or {}).get("event_id")
        asked = by_address(limiter, request_class(), client(), event_id, current_boards())
        limiter.spend_in_turn(asked)


def by_address(
    limiter: Limiter, kind: str, address: str, event_id: int | None, boards: Snapshots[Board]
) -> list[tuple[str, dict[str, str]]]:
    """By what a request is counted before it is known who asks: its address, and then its event,
    since what an address is refused takes nothing from the event's limit."""
    asked = [] if limiter.is_unlimited(address) else [(kind, {"address": address})]
    if event_id:
        board = boards.peek(event_id)
        is_hot = board is not None and board.waiting >= HOT
        asked.append(("event", {"hot_event" if is_hot else "event": str(event_id)}))
    return asked


def current_boards() -> Snapshots[Board]:
    boards: Snapshots[Board] = current_app.extensions["queue_boards"]
    return boards


def spend_account(account_id: int, *, verified: bool) -> None:
    """Count the request by its account, unless too many of its requests were refused. Errors:
    TooMany."""
    if (limiter := current_limiter()) is None:
        return
    kind = request_class()
    limits = limiter.table.get(kind, {})
    by = account_limit(limits, verified=verified)
    if may_be_refused := bool(limits.get("account_refused")):
        limiter.check(kind, {"account_refused": str(account_id)})
    limiter.spend(kind, {by: str(account_id)})
    if may_be_refused:
        g.account_spent = kind, by, str(account_id)


def account_limit(limits: Mapping[str, object], *, verified: bool) -> str:
    """The limit of a class for an account."""
    own = "account" if verified else "account_unverified"
    return own if own in limits else "account"


def count_refused(answer: Response) -> Response:
    """Count a request that was refused among the refused ones of its account, and not among those
    that were done."""
    spent: tuple[str, str, str] | None = g.pop("account_spent", None)
    limiter = current_limiter()
    if limiter and spent and 400 <= answer.status_code < 500:
        kind, by, account_id = spent
        limiter.take_back(kind, {by: account_id})
        with suppress(TooMany):  # the next one is refused
            limiter.spend(kind, {"account_refused": account_id})
    return answer


def spend_api_key(key_id: int) -> None:
    """Count the request by its API key. Errors: TooMany."""
    if limiter := current_limiter():
        limiter.spend(request_class(), {"api_key": str(key_id)})


def spend_plan_import(key_id: int) -> None:
    """Count a large plan by its API key. Errors: TooMany."""
    if limiter := current_limiter():
        limiter.spend("plan_import", {"api_key": str(key_id)})


def check_guesses(mailbox: str) -> bool:
    """Count a password that is tried for a mailbox: by the mailbox, and by the mailbox and the
    address, so that one who guesses does not stop the owner. None is tried from an address that has
    sent too many wrong ones, since each costs a hash. Whether it has sent few of them.

    Errors: TooMany.
    """
    if not (limiter := current_limiter()):
        return True
    name = mailbox.casefold()
    wrong = limiter.check("password", {"wrong_at_address": client()})
    limiter.spend("password", {"mailbox_at_address": f"{name} {client()}"})
    limiter.spend("password", {"mailbox": name})
    return wrong < SOME_WRONG


def note_wrong_guess() -> None:
    """Count a wrong password of this request's address."""
    if (limiter := current_limiter()) and not limiter.is_unlimited(client()):
        with suppress(TooMany):  # the next one is refused
            limiter.spend("password", {"wrong_at_address": client()})


def spend_code(mailbox: str) -> None:
    """Count a code that is asked for, by the mailbox and the address: a stranger who asks for codes
    at one address leaves others of the mailbox's six an hour to its owner. Errors: TooMany."""
    if (limiter := current_limiter()) and not limiter.is_unlimited(client()):
        limiter.spend("code", {"mailbox_at_address": f"{mailbox.casefold()} {client()}"})


def check_codes() -> None:
    """Refuse to try a code for an address that has sent too many wrong ones, of whichever accounts.
    Errors: TooMany."""
    if limiter := current_limiter():
        limiter.check("code", {"wrong_at_address": client()})


def note_wrong_code() -> None:
    """Count a wrong code of this request's address."""
    if (limiter := current_limiter()) and not limiter.is_unlimited(client()):
        with suppress(TooMany):  # the next one is refused
            limiter.spend("code", {"wrong_at_address": client()})


def refuse(error: TooMany) -> Response:
    seconds = error.counted.reset
    log.warning("too many requests", limit=str(error.counted.limit), by=error.by)
    whose = WHOSE.get(error.by, "with your account")
    return problem(
        429, f"Too many requests of this kind come {whose}: try again later.", retry_after=seconds
    )


def add_headers(answer: Response) -> Response:
    """Say what is left of the tightest limit; not in a document that proxies give to others."""
    known: Known = g.get("counted", {})
    if known and not answer.cache_control.public:
        answer.headers.update(tell_left(known))
    return answer
