"""Nonsense gets a problem that says what is wrong: never a 500, never a guess."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import NotFound

from db.connections import Conn
from tests.support.world import Answer, Caller, Sale, small_hall
from web import fast_path
from web.support.blueprint import numbers_up_to

PROBLEM = "application/problem+json"


def assert_problem(answer: Answer, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == PROBLEM
    body = answer.json
    assert body["status"] == status
    assert body.keys() >= {"type", "title", "detail", "instance", "request_id"}
    assert body["request_id"] == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("wish", "path", "message"),
    [
        ({}, "quantity", "Give a quantity or seats."),
        ({"quantity": 0}, "quantity", "greater than or equal to 1"),
        ({"quantity": 51}, "quantity", "less than or equal to 50"),
        ({"quantity": "2"}, "quantity", "Not a valid integer."),
        ({"quantity": 2.0}, "quantity", "Not a valid integer."),
        ({"quantity": True}, "quantity", "Not a valid integer."),
        ({"quantity": None}, "quantity", "may not be null"),
        ({"quantity": 10**30}, "quantity", "less than or equal to 50"),
        ({"quantity": 2, "together": "yes"}, "together", "Not a valid boolean."),
        ({"quantity": 2, "together": 1}, "together", "Not a valid boolean."),
        ({"quantity": 2, "colour": "red"}, "colour", "Unknown field."),
        ({"quantity": 2, "accessible": 3}, "accessible", "More accessible seats than seats."),
        ({"seats": []}, "seats", "Length must be between 1 and 50."),
        ({"seats": [f"1-{n}" for n in range(51)]}, "seats", "between 1 and 50."),
        ({"seats": ["1-1", "1-2", "1-1"]}, "seats", "1-1 occurs twice."),
        ({"seats": ["1-1", 7]}, "seats[1]", "Not a valid string."),
        ({"seats": ["1-1\x00"]}, "seats[0]", "Must not contain NUL"),
        ({"seats": ["\ud800"]}, "seats[0]", "lone surrogates"),
        ({"seats": ["1-1"], "quantity": 2}, "quantity", "The quantity is not the number of seats."),
        ({"seats": ["1-1"], "category": 1}, "category", "Named seats have their own"),
    ],
)
def test_it_says_what_is_wrong_with_a_wish(
    tosca: Sale, alice: Caller, conn: Conn, wish: dict[str, Any], path: str, message: str
) -> None:
    answer = alice.post(f"{tosca.path}/queue", wish, key="key")
    assert_problem(answer, 422)
    (error,) = answer.json["errors"]
    assert (error["location"], error["path"]) == ("json", path)
    assert message in error["message"]
    assert conn.execute("SELECT FROM entries").fetchall() == []


def test_it_tells_all_that_is_wrong_at_once(anybody: Caller) -> None:
    answer = anybody.post("/v1/accounts", {"email": "nobody", "password": "short", "age": 7})
    assert_problem(answer, 422)
    paths = {error["path"] for error in answer.json["errors"]}
    assert paths == {"email", "name", "password", "age"}


@pytest.mark.parametrize(
    "text",
    ["{", "", '{"quantity": }', "\ufeff{}", "[" * 60_000, '{"quantity": ' + "9" * 5000 + "}"],
)
def test_it_refuses_what_is_not_json(tosca: Sale, alice: Caller, text: str) -> None:
    answer = alice.post(
        f"{tosca.path}/queue",
        data=text,
        content_type="application/json",
        headers={"Idempotency-Key": "key"},
    )
    assert_problem(answer, 422 if text == "" else 400)


@pytest.mark.parametrize("text", ["[]", '"quantity"', "null", "7"])
def test_it_refuses_what_is_not_an_object(tosca: Sale, alice: Caller, text: str) -> None:
    answer = alice.post(
        f"{tosca.path}/queue",
        data=text,
        content_type="application/json",
        headers={"Idempotency-Key": "key"},
    )
    assert_problem(answer, 422)


def test_it_refuses_bytes_that_are_not_utf_8(anybody: Caller) -> None:
    answer = anybody.post("/v1/accounts", data=b'{"name": "\xff"}', content_type="application/json")
    assert_problem(answer, 400)


def test_a_body_must_be_said_to_be_json(tosca: Sale, alice: Caller) -> None:
    answer = alice.post(f"{tosca.path}/queue", data="quantity=2", content_type="text/plain")
    assert_problem(answer, 415)


def test_bodies_are_bounded(anybody: Caller) -> None:
    answer = anybody.post("/v1/accounts", {"name": "x" * 70_000})
    assert_problem(answer, 413)


def test_plans_may_be_larger_than_other_bodies(opera: Caller) -> None:
    venue = opera.post("/v1/venues", {"name": "Arena", "time_zone": "Europe/Berlin"}).json
    hall = small_hall(rows=40, seats=50)
    assert len(json.dumps(hall)) > 64 * 2**10
    assert opera.post(f"/v1/venues/{venue['id']}/plans", hall).status_code == 201


@pytest.mark.parametrize(
    "source",
    [
        b"[]",
        b"{",
        b"\xff",
        json.dumps(small_hall() | {"note": "\x00"}).encode(),
        json.dumps(small_hall() | {"note": "\ud800"}).encode(),
        json.dumps(small_hall() | {"note": float("nan")}).encode(),
        json.dumps(small_hall())[:-1].encode() + b', "note": 1e999999}',
        json.dumps(small_hall())[:-1].encode() + b', "note": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_no_plan_breaks_the_import(opera: Caller, conn: Conn, source: bytes) -> None:
    venue = opera.post("/v1/venues", {"name": "Arena", "time_zone": "Europe/Berlin"}).json
    answer = opera.post(
        f"/v1/venues/{venue['id']}/plans", data=source, content_type="application/json"
    )
    assert answer.status_code in (201, 400, 422), answer.text
    plans = len(conn.execute("SELECT FROM plans").fetchall())
    assert plans == (1 if answer.status_code == 201 else 0)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/events/0",
        "/v1/events/-1",
        "/v1/events/99999999999999999999",
        "/v1/events/one",
        "/v1/events/1/queue/not-a-uuid",
        "/v1/nothing",
        "/v1/events/9223372036854775807",
        "/v1/events/9223372036854775807/availability",
    ],
)
def test_what_is_not_there_is_not_found(app: Flask, alice: Caller, path: str) -> None:
    assert_problem(alice.get(path), 404)


def test_a_wrong_method_is_told_which_are_right(alice: Caller) -> None:
    answer = alice.delete("/v1/accounts")
    assert_problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "starting_after=-1"])
def test_it_refuses_wrong_queries(anybody: Caller, query: str) -> None:
    answer = anybody.get(f"/v1/events?{query}")
    assert_problem(answer, 422)
    assert answer.json["errors"][0]["location"] == "query"


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel"])
def test_it_refuses_keys_that_cannot_be(tosca: Sale, alice: Caller, key: str) -> None:
    headers = {"Idempotency-Key": key.encode().decode("latin-1")}
    answer = alice.post(f"{tosca.path}/queue", {"quantity": 1}, headers=headers)
    assert_problem(answer, 400)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense"])
def test_it_asks_for_a_token(anybody: Caller, header: str) -> None:
    answer = anybody.get("/v1/me", headers={"Authorization": header})
    assert_problem(answer, 401)


def test_a_wrong_api_key_is_refused(anybody: Caller) -> None:
    headers = {"Authorization": "Bearer usk_nonsense"}
    assert_problem(anybody.get("/v1/venues", headers=headers), 401)
    assert_problem(anybody.get("/v1/events/1", headers=headers), 401)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Bob\nBcc: charlie@example.org", "on one line"),
        ("Bob\x1b[31m", "on one line"),
        ("Bob\x85Bob", "on one line"),
        ("Bob\u2028Bob", "on one line"),
        ("\u200b", "visible"),
        ("\u202e \u2066", "visible"),
        ("\u0301", "visible"),
    ],
)
def test_names_are_one_line_that_can_be_seen(
    anybody: Caller, opera: Caller, name: str, message: str
) -> None:
    answers = [
        anybody.post("/v1/accounts", {"email": "bob@example.org", "name": name}),
        opera.post("/v1/venues", {"name": name, "time_zone": "Europe/Berlin"}),
    ]
    for answer in answers:
        assert_problem(answer, 422)
        (error,) = answer.json["errors"]
        assert error["path"] == "name"
        assert message in error["message"]


@pytest.mark.parametrize(
    "name", ["Zoë", "李", "محمد", "Bob \U0001f468\u200d\U0001f469", "\u200fדנה"]
)
def test_other_names_are_taken(anybody: Caller, name: str) -> None:
    answer = anybody.post("/v1/accounts", {"email": "bob@example.org", "name": name})
    assert answer.status_code == 201


@pytest.mark.faults("fuzz")
def test_a_change_without_a_body_is_not_a_change_of_nothing(tosca: Sale, opera: Caller) -> None:
    organisation = f"/v1/organisations/{opera.id}"
    for path in (f"{tosca.path}/lane", organisation, f"{organisation}/risk"):
        answer = opera.call("PATCH", path)
        assert_problem(answer, 422)
        (error,) = answer.json["errors"]
        assert (error["location"], error["message"]) == ("json", "Must be a JSON object.")
        assert opera.patch(path, {}).status_code == 200


@pytest.mark.faults("fuzz")
def test_an_id_that_is_too_large_is_of_nothing(tosca: Sale, opera: Caller) -> None:
    """Whatever methods its path has."""
    paths = ("events/{}", "organisations/{}", "events/{}/queue", "plans/{}/versions")
    for path in paths:
        for id in (2**63, 2**63 + 10**17, 10**19):
            for method in ("GET", "PATCH", "POST"):
                assert_problem(opera.call(method, "/v1/" + path.format(id), {}), 404)
    assert_problem(opera.get(f"/v1/events/{2**63 - 1}/queue"), 404)
    assert opera.get(f"{tosca.path}/queue").status_code == 200


@pytest.mark.faults("fuzz")
@pytest.mark.parametrize("number", ["1", "0.5", "1e0", " 1", "\u0661", True, [1], {"n": 1}])
def test_a_number_in_quotes_is_no_number(
    tosca: Sale, opera: Caller, conn: Conn, number: Any
) -> None:
    """Neither a weight, nor a rate of entries, nor a tax rate."""
    sale = events_of(conn)
    for path, body in (
        (f"{tosca.path}/lane", {"weight": number}),
        (f"{tosca.path}/lane", {"admission_rate": number}),
        (tosca.path, {"booking_fee_tax_rate": number}),
        (tosca.path, {"categories": [{"category": 1, "price": 100, "tax_rate": number}]}),
    ):
        answer = opera.patch(path, body)
        assert_problem(answer, 422)
        (error,) = answer.json["errors"]
        assert error["message"] == "Not a valid number."
    assert events_of(conn) == sale


def events_of(conn: Conn) -> list[list[dict[str, Any]]]:
    return [conn.execute(f"SELECT * FROM {table}").fetchall() for table in ("events", "lanes")]


@pytest.mark.faults("fuzz")
@pytest.mark.parametrize(
    "number", ["1_0", "+1", "%201", "1%20", "1.0", "\u0661", "\uff11", "0x1", ""]
)
def test_numbers_of_a_query_have_one_spelling(anybody: Caller, number: str) -> None:
    for name in ("limit", "starting_after"):
        answer = anybody.get(f"/v1/events?{name}={number}")
        assert_problem(answer, 422)
        assert answer.json["errors"][0]["path"] == name
    assert anybody.get("/v1/events?limit=1&starting_after=0").status_code == 200


@pytest.mark.faults("fuzz")
@pytest.mark.parametrize("id", ["1\u0660", "1\uff12", "1\u0967\u0967"])
def test_an_id_has_the_digits_of_one_alphabet(app: Flask, id: str) -> None:
    """Otherwise one event would have many addresses, and caches would ask for each."""
    routes = app.url_map.bind("usher.example")
    for path in ("/v1/events/{}", "/v1/events/{}/queue", "/v1/venues/{}/plans"):
        with pytest.raises(NotFound):
            routes.match(path.format(id))
        assert routes.match(path.format(str(int(id))))
    assert not fast_path.PATH.fullmatch(f"/v1/events/{id}/queue")


def test_patterns_of_ids_have_their_bound() -> None:
    for most in (10, 19, 100, 907, 1200, 2**10):
        pattern = re.compile(numbers_up_to(most))
        assert [n for n in range(12 * most) if pattern.fullmatch(str(n))] == [*range(1, most + 1)]
