"""One rule for every text that a person will read, whichever way it comes in."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from db.connections import Conn
from db.presentation.texts import TextError, read_line, read_paragraphs
from ops.console.commands import read_command
from tests.support.world import Answer, Caller, Sale, event_fields, small_hall

BAD = {
    "a line end": "Std\nTotal: 0.00 EUR",
    "a carriage return": "Std\rTotal",
    "a line separator": "Std\u2028Total",
    "a tab": "Std\tTotal",
    "an escape": "Std\x1b[31m",
    "an override of direction": "Std \u202e00.001 :latoT",
    "an embedding": "Std \u2067Total\u2069",
    "a mark of direction": "Std\u200eTotal",
    "a zero-width space": "Std\u200bTotal",
    "a joiner between letters": "St\u200dd",
    "a soft hyphen": "Std\u00adTotal",
    "a byte order mark": "Std\ufeffTotal",
    "a filler": "Std\u3164Total",
    "a tag": "Std\U000e0041",
    "nothing that can be seen": "\u200b\u2800",
}


def set_category(plan: dict[str, Any], text: str) -> None:
    plan["categories"][0]["name"] = text
    for seat in plan["zones"][0]["rows"][0]["seats"]:
        seat["category"] = text


PARTS: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "name": lambda plan, text: plan.update(name=text),
    "categories[0].name": set_category,
    "categories[0].color": lambda plan, text: plan["categories"][0].update(color=text),
    "zones[0].name": lambda plan, text: plan["zones"][0].update(name=text),
    "zones[0].rows[0].row_number": lambda plan, text: plan["zones"][0]["rows"][0].update(
        row_number=text
    ),
    "zones[0].rows[0].row_label": lambda plan, text: plan["zones"][0]["rows"][0].update(
        row_label=text
    ),
    "zones[0].rows[0].seats[0].seat_number": lambda plan, text: plan["zones"][0]["rows"][0][
        "seats"
    ][0].update(seat_number=text),
    "zones[0].rows[0].seats[0].seat_guid": lambda plan, text: plan["zones"][0]["rows"][0]["seats"][
        0
    ].update(seat_guid=text),
}
"""Texts of a plan, by the path at which an error names them."""


def refused(answer: Answer, path: str) -> bool:
    assert answer.status_code == 422, answer.text
    return path in [error["path"] for error in answer.json["errors"]]


@pytest.mark.faults("F17")
@pytest.mark.parametrize("part", PARTS)
def test_a_plan_cannot_write_lines_of_its_own(opera: Caller, conn: Conn, part: str) -> None:
    venue = opera.post("/v1/venues", {"name": "Opera", "time_zone": "Europe/Berlin"}).json
    for text in BAD.values():
        plan = small_hall()
        PARTS[part](plan, text)
        answer = opera.post(f"/v1/venues/{venue['id']}/plans", json.loads(json.dumps(plan)))
        assert refused(answer, part), text
    assert conn.execute("select from plans").fetchall() == []


Door = tuple[str, str, str, dict[str, Any]]
ANY = "00000000-0000-7000-8000-000000000000"


def doors(sale: Sale) -> list[Door]:
    """Who, where, which field, and the rest of the body."""
    email = {"email": "mallory@example.org"}
    zone = {"time_zone": "Europe/Berlin"}
    venue = {"name": "Opera"} | zone
    lobby = {"opens_at": "2030-05-01T18:00:00Z", "closes_at": "2030-05-01T19:00:00Z"}
    paid = {"amount": 100, "currency": "EUR"}
    booking = f"{sale.path}/bookings/{ANY}"
    return [
        ("anybody", "POST /v1/accounts", "name", email),
        ("opera", "POST /v1/venues", "name", zone),
        ("opera", "POST /v1/venues", "city", venue),
        ("opera", "POST /v1/events", "name", event_fields(sale.venue, sale.plan)),
        ("opera", f"PATCH {sale.path}", "name", {}),
        ("opera", f"POST {sale.path}/cancel", "reason", {}),
        ("opera", f"POST {booking}/refunds", "reason", {}),
        ("opera", f"PUT {booking}/refunds/{ANY}/settlement", "how", {}),
        ("opera", f"POST {booking}/release", "reason", {}),
        ("opera", f"POST {booking}/review", "reason", {"decision": "approve"}),
        ("opera", f"POST {booking}/payment/paid", "reference", paid),
        ("opera", f"PUT {sale.path}/lobby", "public_source", lobby),
        ("operator", "POST /v1/dead-letters/1/discard", "reason", {}),
    ]


@pytest.mark.faults("F17")
@pytest.mark.parametrize("kind", BAD)
def test_every_door_has_the_same_rule(
    hall: Sale, anybody: Caller, operator: Caller, conn: Conn, kind: str
) -> None:
    sale = hall.add_event()
    callers = {"anybody": anybody, "opera": sale.opera, "operator": operator}
    for who, where, field, rest in doors(sale):
        method, path = where.split(" ")
        given = rest | {field: BAD[kind]}
        answer = callers[who].call(method, path, given, key=str(uuid.uuid4()))
        assert refused(answer, field), where
    for field in ("terms", "offline_instructions"):
        answer = sale.opera.patch(sale.path, {field: BAD[kind]})
        tolerated = kind in ("a line end", "a carriage return", "a tab")
        assert answer.status_code == 200 if tolerated else refused(answer, field)
    assert conn.execute("select from accounts").fetchall() == []


@pytest.mark.faults("F17")
def test_the_name_of_a_plan_in_the_query_has_the_rule(opera: Caller) -> None:
    venue = opera.post("/v1/venues", {"name": "Opera", "time_zone": "Europe/Berlin"}).json
    answer = opera.post(f"/v1/venues/{venue['id']}/plans?name=Std%0ATotal", small_hall())
    assert refused(answer, "name")


@pytest.mark.faults("F17")
@pytest.mark.parametrize("kind", BAD)
def test_the_console_has_the_rule(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["api-key", "create", "--role", "operator", "--name", BAD[kind]],
        [
            "api-key",
            "create",
            "--role",
            "organiser",
            "--name",
            "x",
            "--new-organisation",
            BAD[kind],
        ],
        ["dead-letter", "discard", "1", "--reason", BAD[kind]],
    ):
        with pytest.raises(SystemExit):
            read_command(command)
        assert "Must" in capsys.readouterr().err


@pytest.mark.faults("F17")
@pytest.mark.parametrize(
    "text",
    [
        "Zoë",
        "Łukasz Żółć",
        "Nguyễn Thị Ánh",
        "李 小龍",
        "محمد",
        "دانشگاه می\u200cخواهم",  # noqa: RUF001
        "क्\u200dष",
        "ශ්\u200dරී ලංකා",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f469\U0001f3fd\u200d\u2695\ufe0f",
        "I \u2764\ufe0f Rock",
        "葛\U000e0100",
        "Parkett \u2013 Reihe 1 (links) & \u201eLoge\u201c",
        "20\u00a0h\u202f30",
    ],
)
def test_texts_of_all_scripts_are_taken_as_they_are(anybody: Caller, text: str) -> None:
    made = anybody.post("/v1/accounts", {"email": "a@example.org", "name": text})
    assert made.status_code == 201, made.text
    assert Caller(anybody.client, made.json["token"]).get("/v1/me").json["name"] == text


def test_a_text_is_kept_in_one_form() -> None:
    assert read_line("  Zoe\u0308 ") == "Zoë"
    assert read_line("\u200fדנה") == "דנה"
    assert read_paragraphs("One\r\nTwo\rThree\n") == "One\nTwo\nThree"


@pytest.mark.parametrize("kind", BAD)
def test_the_rule_says_what_it_refuses(kind: str) -> None:
    with pytest.raises(TextError, match=r"Must (not contain|be on one line|have a visible)"):
        read_line(BAD[kind])
