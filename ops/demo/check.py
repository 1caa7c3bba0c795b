"""Check a sale from outside (buyers, gateway, mailboxes) and inside (the database). Each function
gives sentences about what is wrong."""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any

from db.connections import Conn, one
from db.maintenance.invariants import Violation, violations
from ops.crowd.told import some
from ops.demo.buyer import Told
from ops.sandbox.mail_files import ENVELOPE_TO, SUFFIX

Json = dict[str, Any]

CONFIRMATION = "Your tickets"  # how its subject begins
HTML = b"Content-Type: text/html"
QUIET_TIMEOUT_S = 60  # without any progress
SAY_EVERY_S = 1.0

UNFINISHED = """
SELECT (SELECT json_agg(format('%s %s', actor, key)) FROM outbox
        WHERE run_at <= clock_timestamp() OR lease_token IS NOT NULL) AS tasks,
    (SELECT count(*) FROM emails WHERE state = 'pending') AS emails,
    (SELECT count(*) FROM receipts_due) AS receipts_due
"""

INSIDE = """
SELECT
    (SELECT count(*) FROM bookings
     WHERE event_id = %(event)s AND state = 'confirmed') AS confirmed,
    (SELECT coalesce(sum(captured), 0)::bigint FROM payments
     WHERE event_id = %(event)s) AS captured,
    (SELECT coalesce(sum(total), 0)::bigint FROM receipts
     WHERE event_id = %(event)s) AS on_receipts,
    (SELECT coalesce(sum(amount), 0)::bigint FROM refunds
     WHERE event_id = %(event)s AND state <> 'failed') AS refunded,
    (SELECT count(*) FROM bookings WHERE event_id = %(event)s AND state = 'expired') AS expired,
    (SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL) AS dead_letters,
    (SELECT max(confirmed_at) - min(on_sale_at) FROM bookings b JOIN events e ON e.id = b.event_id
     WHERE e.id = %(event)s) AS selling
"""

SEATS = "SELECT state, count(*) AS seats FROM seats WHERE event_id = %s GROUP BY state"


@dataclass
class Findings:
    """What was found, and what is wrong with it."""

    failures: list[str]
    inside: Json
    seats: Counter[str]
    ledger: Json
    mails: int
    violations: list[Violation]


def wait_until_quiet(conn: Conn, say: Callable[[str], object] = print) -> list[str]:
    """Wait until no task is due and no e-mail waits, for as long as there are fewer of them."""
    least, moved_at, said_at = math.inf, time.monotonic(), 0.0
    while any((left := one(conn.execute(UNFINISHED))).values()):
        now, tasks = time.monotonic(), left["tasks"] or []
        open_ends = len(tasks) + left["emails"] + left["receipts_due"]
        if open_ends < least:
            least, moved_at = open_ends, now
        what = f"{left['emails']} e-mails wait, {left['receipts_due']} receipts have no number"
        if now - moved_at > QUIET_TIMEOUT_S:
            due = some("tasks are due or leased", tasks)
            return [*due, f"no progress for {QUIET_TIMEOUT_S} s; {what}"]
        if now - said_at >= SAY_EVERY_S:
            said_at = now
            say(f"finishing: {len(tasks)} tasks are due, {what}")
        time.sleep(0.2)
    return []


def examine(
    conn: Conn, event_id: int, told: list[Told], ledger: Json, mail_dir: Path,
    say: Callable[[str], object] = print,
) -> Findings:  # fmt: skip
    """Run all checks of a sale that is quiet, for the report. `ledger` is the gateway's, by
    booking; mail_dir: where the mail catcher keeps what it caught."""
    say("checking the invariants")
    inside = one(conn.execute(INSIDE, {"event": event_id}))
    seats = count_seats(conn, event_id)
    broken = violations(conn)
    say("reading the e-mails that were caught")
    mails, mail_failures = check_mail(told, mail_dir)
    failures = [
        *check_everybody_told(told),
        *check_seats(told, seats),
        *check_money(told, ledger, inside),
        *mail_failures,
        *(f"invariant {violation}" for violation in broken),
        *check_inside(told, inside),
    ]
    return Findings(failures, inside, seats, ledger, mails, broken)


def count_seats(conn: Conn, event_id: int) -> Counter[str]:
    rows = conn.execute(SEATS, [event_id]).fetchall()
    return Counter({row["state"]: row["seats"] for row in rows})


def check_limits(refused: int) -> Iterator[str]:
    """Limits are for those who abuse what is allowed: an honest crowd must not feel them."""
    if refused:
        yield f"{refused} requests of honest buyers were refused by limits"


def check_everybody_told(told: list[Told]) -> Iterator[str]:
    yield from some(
        "were not told an outcome",
        [f"{one.email}: {one.reason}" for one in told if one.outcome in ("", "error")],
    )
    yield from some(
        "confirmed without a ticket for each seat",
        [
            one.code
            for one in told
            if one.outcome == "confirmed"
            and not len(one.tickets) == len(set(one.tickets) & set(one.seats)) == one.quantity
        ],
    )


def check_seats(told: list[Told], seats: Counter[str]) -> Iterator[str]:
    yield from some("seats have two owners", oversold(told))
    tickets = sum(len(one.tickets) for one in told)
    if tickets != seats["sold"]:
        yield f"buyers have {tickets} tickets, but {seats['sold']} seats are sold"
    if seats["held"]:
        yield f"{seats['held']} seats are still held"
    if seats["free"] and wanted(told) >= seats.total():
        yield f"{seats['free']} seats are left, although {wanted(told)} were asked for"


def oversold(told: list[Told]) -> list[str]:
    """Find seats for which several buyers have a ticket."""
    owners = Counter(seat for one in told for seat in one.tickets)
    return [f"{seat} has {count}" for seat, count in owners.items() if count > 1]


def wanted(told: list[Told]) -> int:
    return sum(one.quantity for one in told)


def resold(told: list[Told]) -> int:
    """Count seats that were sold after another booking of them had ended."""
    given_back = {seat for one in told if one.outcome != "confirmed" for seat in one.seats}
    return len(given_back & {seat for one in told for seat in one.tickets})


def check_money(told: list[Told], ledger: Json, inside: Json) -> Iterator[str]:
    """Compare with the gateway's ledger: only confirmed bookings are paid, and those once."""
    paid = ledger["bookings"]
    yield from some(
        "confirmed but not paid once and whole",
        [
            f"{one.code} costs {one.total}, the gateway has {paid.get(one.booking_id)}"
            for one in told
            if one.outcome == "confirmed" and one.total
            and not is_paid(paid.get(one.booking_id, {}), one.total)
        ],
    )  # fmt: skip
    confirmed = {one.booking_id for one in told if one.outcome == "confirmed"}
    yield from some(
        "paid without a confirmed booking",
        [
            f"{booking}: {row}"
            for booking, row in paid.items()
            if booking not in confirmed and (row["captured"] > row["refunded"] or row["held"])
        ],
    )
    captured = ledger_captured(ledger)
    if captured != inside["captured"]:
        yield f"the gateway captured {captured}, the tables have {inside['captured']}"
    if inside["on_receipts"] != inside["captured"] - inside["refunded"]:
        yield f"receipts add up to {inside['on_receipts']}, not to captured minus refunded"


def is_paid(row: Json, total: int) -> bool:
    return (row.get("captured"), row.get("captures"), row.get("refunded")) == (total, 1, 0)


def ledger_captured(ledger: Json) -> int:
    return sum(currency["captured"] for currency in ledger["currencies"].values())


def check_mail(told: list[Told], mail_dir: Path) -> tuple[int, list[str]]:
    """Count the buyers who got their confirmation; name those who did not get exactly one."""
    confirmed = [one for one in told if one.outcome == "confirmed"]
    found = confirmations(mail_dir, {one.code for one in confirmed})
    wrong = [
        f"{one.email} ({one.code}) has {len(found.get((one.email, one.code), ()))}"
        for one in confirmed
        if len(found.get((one.email, one.code), ())) != 1
    ]
    return len(confirmed) - len(wrong), list(some("without their one e-mail", wrong))


def confirmations(mail_dir: Path, codes: set[str]) -> dict[tuple[str, str], set[str]]:
    """Message-IDs of caught confirmations, by recipient and the booking code in their text."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in mail_dir.glob(f"*{SUFFIX}"):
        # The plain text comes before the HTML and the pictures, which are ten times as long.
        mail = message_from_bytes(path.read_bytes().partition(HTML)[0])
        if not str(make_header(decode_header(mail["Subject"]))).startswith(CONFIRMATION):
            continue
        for code in codes & set(re.findall(r"\w+", text_of(mail))):
            for recipient in mail[ENVELOPE_TO].split(","):
                found.setdefault((recipient.strip().lower(), code), set()).add(mail["Message-ID"])
    return found


def text_of(mail: "Message[str, str]") -> str:
    """The plain text of a mail; empty if it has none."""
    for part in mail.walk():
        if part.get_content_type() == "text/plain":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            return content.decode(part.get_content_charset("utf-8"))
    return ""


def check_inside(told: list[Told], inside: Json) -> Iterator[str]:
    confirmed = sum(one.outcome == "confirmed" for one in told)
    if inside["confirmed"] != confirmed:
        yield f"{inside['confirmed']} bookings are confirmed, but {confirmed} buyers were told so"
    if inside["dead_letters"]:
        yield f"{inside['dead_letters']} tasks died: see dead_letters"
