"""A short campaign of money, and that its verdict would notice what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops.chaos import verdict
from ops.chaos.buyer import MANNERS, Told
from ops.chaos.forms import LONG, SHORT
from ops.chaos.money import run
from ops.chaos.plan import draw_acts, draw_people, named_points


@pytest.mark.processes
@pytest.mark.system
@pytest.mark.timeout(300)  # processes are killed, and the machine may be busy
def test_the_books_agree_whatever_breaks(tmp_path: Path) -> None:
    out = tmp_path / "chaos-money.json"
    result = run(SHORT, 1, out, tmp_path / "var")
    assert result["failures"] == []
    assert (result["difference_minor"], result["invariant_rows"]) == (0, 0)
    assert result["captured_minor"] == result["ledger_captured_minor"] > 0
    assert result["refunded_minor"] == result["ledger_refunded_minor"] > 0
    assert result["bookings"] > 80
    assert {"spike", "drop_after", "webhook_duplicated", "webhook_late"} <= result["faults"].keys()
    assert result["killed"]
    assert result["died_at"]
    assert json.loads(out.read_text()) == result


def test_a_seed_repeats_the_plan() -> None:
    assert draw_people(LONG, 7) == draw_people(LONG, 7) != draw_people(LONG, 8)
    assert draw_acts(LONG, 7) == draw_acts(LONG, 7) != draw_acts(LONG, 8)


def test_a_long_campaign_has_everything_in_it() -> None:
    people, acts = draw_people(LONG, 1), draw_acts(LONG, 1)
    assert {person.manner for person in people} == set(LONG.manners) == set(MANNERS)
    assert {act.what for act in acts} == {"kill", "die", "freeze", "storm", "cancel"}
    assert {act.whom for act in acts if act.what == "die"} == set(named_points())
    assert {"before capture", "after refund", "before mail"} <= set(named_points())


# What the verdict would notice: one true story, and one change at a time.


def books(**changes: Any) -> list[dict[str, Any]]:
    """Alice's booking is paid, Bob's has expired."""
    alices = {
        "id": "a", "state": "confirmed", "reason": None, "total": 100, "currency": "EUR",
        "captured": 100, "kept": 0, "refunded": 0, "settled": 0, "lost": 0,
    }  # fmt: skip
    bobs = alices | {"id": "b", "state": "expired", "reason": "deadline", "captured": 0}
    return [alices | changes, bobs]


def ledger(booking: str = "a", **changes: int) -> dict[str, Any]:
    rows = {"a": verdict.NOTHING | {"captured": 100, "captures": 1, "intents": 1}}
    rows[booking] = rows.get(booking, verdict.NOTHING) | changes
    intents = [{"id": f"pi_{id}", "metadata": {"booking_id": id}} for id in rows]
    return {"bookings": rows, "intents": intents}


def wrong(books: list[dict[str, Any]], ledger: dict[str, Any]) -> list[str]:
    pairs = verdict.beside_ledger(books, ledger)
    return [*verdict.check_agreement(pairs, ledger), *verdict.check_ends(pairs)]


def test_books_as_they_should_be() -> None:
    assert wrong(books(), ledger()) == []
    assert wrong(books(refunded=30), ledger(refunded=30)) == []
    ended = books(state="cancelled", reason="refunded", refunded=70, kept=10, settled=20)
    assert wrong(ended, ledger(refunded=70)) == []
    lost = books(state="cancelled", reason="dispute_lost", lost=100)
    assert wrong(lost, ledger(disputed=100)) == []
    twice = books(state="cancelled", reason="dispute_lost", lost=100, settled=100)
    assert wrong(twice, ledger(disputed=100)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        ({}, {"captured": 99}, "differ from the gateway"),
        ({}, {"refunded": 1}, "differ from the gateway"),
        ({"captured": 0}, {}, "differ from the gateway"),
        ({}, {"captures": 2}, "captured twice"),
        ({}, {"captures": 0}, "not paid once"),
        ({"total": 90}, {}, "not paid once"),
        ({}, {"held": 100}, "never voided"),
        ({"state": "secured"}, {}, "not in a final state"),
        ({"state": "frozen"}, {}, "not in a final state"),
        ({"state": "cancelled"}, {}, "should be refunded"),
        ({"state": "cancelled", "settled": 99}, {}, "should be refunded"),
        ({}, {"booking": "b", "held": 5}, "never voided"),
        ({}, {"booking": "b", "captured": 5}, "should be refunded"),
        ({}, {"booking": "c", "held": 5}, "have no booking"),
    ],
)
def test_what_the_gateway_has_otherwise_is_noticed(
    ours: dict[str, Any], theirs: dict[str, Any], what: str
) -> None:
    assert any(what in failure for failure in wrong(books(**ours), ledger(**theirs)))


def test_errors_do_not_cancel_each_other_out() -> None:
    pairs = verdict.beside_ledger(books(captured=90), ledger("b", captured=-10))
    assert verdict.difference(pairs) == 20


def told(*states: str, **changes: Any) -> list[str]:
    one = Told(1, "pays", "a", states=list(states))
    for name, value in changes.items():
        setattr(one, name, value)
    return list(verdict.check_told([one], books()))


def test_what_buyers_are_told_is_so_and_stays_so() -> None:
    assert told("held", "authorising", "secured", "confirmed") == []
    assert told("held", "confirmed", "frozen", "confirmed") == []
    assert told(turned_away="sale_over", booking_id="") == []
    assert "error" in told("confirmed", error="error 500")[0]
    assert "not told an outcome" in told("held", "authorising")[0]
    assert "did not last" in told("held", "expired")[0]
    taken_back = Told(1, "pays", "a", states=["confirmed"])
    ends = [books(state="cancelled", reason=reason) for reason in ("refunded", "buyer")]
    assert list(verdict.check_told([taken_back], ends[0])) == []
    assert len(list(verdict.check_told([taken_back], ends[1]))) == 1
