"""A demo's reports: a line a second, a summary at the end, and var/demo.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.maintenance.invariants import invariants
from db.presentation.amounts import Currency, written
from ops.demo.buyer import Told
from ops.demo.check import Findings, ledger_captured, oversold, resold
from ops.demo.meter import Meter

Json = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A demo that was run. `seconds`: from first server to last check; `crowd`: its last line;
    `meter`: what each phase took."""

    plan: Path
    buyers: int
    seconds: float
    crowd: Json
    meter: Meter


EURO = Currency("EUR", 2)
NEXT = """What next:
  make run                     keeps everything up on http://localhost:8000, with an event on sale
  make demo PLAN=hall.json     sells your own seating plan (BUYERS=5000: to so many buyers)
  README.md                    how to sell an event of your own, and how to deploy Usher
  var/demo.json, var/log       these figures, and what each process wrote
"""
GOOD = "  Every seat sold once, paid once, mailed once."
SENTENCES = {
    "plan": "{plan}: {seats:,} seats, {buyers:,} buyers",
    "sold": "{sold_seats:,} seats in {confirmed_bookings:,} bookings, {oversold_seats} sold twice",
    "money": "{captured} captured, {ledger_captured} in the gateway's ledger",
    "e-mails": "{emails_delivered:,} of {confirmed_bookings:,} confirmations in their inboxes",
    "told otherwise": "{unavailable:,} unavailable, {expired} expired, {cancelled} gave up,"
    " {left} left the queue",
    "cards declined": "{declined}",
    "seats sold again": "{resold} that came back; {refunded} bookings refunded",
    "wait until held": "p50 {wait_p50_s} s, p95 {wait_p95_s} s, p99 {wait_p99_s} s",
    "selling": "{selling_seconds} s, {seats_per_second} seats a second; {seconds} s in all",
    "requests": "{requests:,}, {retries} of them again, {limited} refused by limits;"
    " {crowd_cpu_s} s of CPU for the crowd",
    "invariants": "{invariants} checked, {invariant_rows} rows",
}


def progress_line(seats: dict[str, int], crowd: Json, mails: int) -> tuple[str, str]:
    """The line of a second, and what is being done in it."""
    since = crowd["since_opening_s"]
    clock = "  sign-up" if since is None or since < 0 else f"{since:7.1f} s"
    stages, told = crowd["stages"], crowd["told"]
    doing = activity(seats, crowd)
    return (
        f"{clock}  seats {seats.get('free', 0):6,} free {seats.get('held', 0):6,} held"
        f" {seats.get('sold', 0):6,} sold   buyers {stages.get('waiting', 0):6,} waiting"
        f" {told.get('confirmed', 0):6,} confirmed   {mails:6,} e-mails   {doing}"
    ), doing


def activity(seats: dict[str, int], crowd: Json) -> str:
    """What a sale is doing: it must not look as if it hung when nothing is sold for a while."""
    since, stages = crowd["since_opening_s"], crowd["stages"]
    free, held = seats.get("free", 0), seats.get("held", 0)
    waiting, choosing = stages.get("waiting", 0), stages.get("holding", 0) + stages.get("paying", 0)
    if since is None or since < 0:
        coming = stages.get("coming", 0)
        opens = "" if since is None else f"; the sale opens in {-since:.0f} s"
        return f"{coming:,} buyers make their accounts{opens}" if coming else f"waiting{opens}"
    if waiting and free:
        return "selling"
    if waiting and held:
        return f"{waiting:,} wait for seats of {choosing:,} buyers who may not pay for theirs"
    if waiting:
        return f"sold out: {waiting:,} are being told"
    if choosing:
        return f"the last {choosing:,} pay, or let their seats expire"
    return "the last buyers come"


def summary(run: Run, told: list[Told], found: Findings) -> Json:
    """The object of var/demo.json; money in minor units, times in seconds."""
    outcomes = dict.fromkeys(("confirmed", "unavailable", "expired", "cancelled", "left"), 0)
    for one in told:
        outcomes[one.outcome] = outcomes.get(one.outcome, 0) + 1
    waits = sorted(one.wait_s for one in told if one.wait_s is not None)
    selling = found.inside["selling"]
    selling_s = selling.total_seconds() if selling else 0.0
    return {
        "plan": run.plan.stem,
        "seats": found.seats.total(),
        "buyers": run.buyers,
        "sold_seats": found.seats["sold"],
        "oversold_seats": len(oversold(told)),
        "confirmed_bookings": outcomes["confirmed"],
        "captured_minor": found.inside["captured"],
        "ledger_captured_minor": ledger_captured(found.ledger),
        "emails_delivered": found.mails,
        "invariants": len(invariants()),
        "invariant_rows": sum(violation.rows for violation in found.violations),
        "seconds": round(run.seconds, 1),
        "selling_seconds": round(selling_s, 1),
        "seats_per_second": round(found.seats["sold"] / selling_s, 1) if selling_s else 0.0,
        **{f"wait_p{p}_s": percentile(waits, p) for p in (50, 95, 99)},
        "unavailable": outcomes["unavailable"] + outcomes.get("refused", 0),
        "declined": sum(one.declined for one in told),
        "expired": outcomes["expired"],
        "cancelled": outcomes["cancelled"],
        "resold": resold(told),
        "refunded": sum(row["refunded"] > 0 for row in found.ledger["bookings"].values()),
        "left": outcomes["left"],
        "requests": run.crowd["requests"],
        "retries": run.crowd["retries"],
        "limited": run.crowd["limited"],
        "crowd_cpu_s": round(run.crowd["cpu_s"], 1),
        "phase_s": run.meter.seconds,
        "phase_cpu_s": run.meter.cpu_s,
        "failures": found.failures,
    }


def next_steps(result: Json) -> str:
    """What to do after a demo."""
    if result["failures"]:
        return "var/log has what each process wrote, var/demo.json the figures.\n"
    return NEXT


def percentile(values: list[float], percent: int) -> float:
    """A percentile of sorted values; 0 if there are none."""
    if not values:
        return 0.0
    return round(values[min(len(values) - 1, len(values) * percent // 100)], 2)


def text(result: Json) -> str:
    """The summary that is printed."""
    money = {
        name: written(result[f"{name}_minor"], EURO) for name in ("captured", "ledger_captured")
    }
    said = result | money
    lines = [f"  {name:<19} {sentence.format_map(said)}" for name, sentence in SENTENCES.items()]
    verdict = [f"  FAILED: {failure}" for failure in result["failures"]]
    return "\n".join(["", *lines, "", *(verdict or [GOOD]), ""])
