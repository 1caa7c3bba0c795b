"""GET /v1/feed: whose feed a caller reads, pages, cursors, and that answers are as described."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from flask import Flask

from db.accounts import api_keys
from db.connections import Conn, transaction
from tests.support.document import Document
from tests.support.feeding import begin, number_all
from tests.support.world import Caller, Sale


@pytest.fixture
def told(tosca: Sale, alice: Caller, bob: Caller, conn: Conn) -> Sale:
    """Two buyers have seats, and the feed tells of them: four messages."""
    begin(conn)
    tosca.book(alice, conn)
    tosca.book(bob, conn)
    number_all(conn)
    return tosca


def key_of(app: Flask, organisation: int, role: str, scopes: Sequence[str] = ()) -> Caller:
    with transaction() as conn:
        key = api_keys.add_key(conn, role, "tests", organisation, scopes)
    return Caller(app.test_client(), key, organisation)


def test_it_is_read_page_by_page(told: Sale, opera: Caller) -> None:
    first = opera.get("/v1/feed?limit=3").json
    assert [message["number"] for message in first["messages"]] == [1, 2, 3]
    assert (first["has_more"], first["next_after"]) == (True, 3)
    assert (first["oldest"], first["last"]) == (1, 4)
    second = opera.get(f"/v1/feed?limit=3&after={first['next_after']}").json
    assert [message["number"] for message in second["messages"]] == [4]
    assert (second["has_more"], second["next_after"]) == (False, 4)
    rest = opera.get("/v1/feed?after=4").json
    assert (rest["messages"], rest["has_more"], rest["next_after"]) == ([], False, 4)


def test_a_message_says_what_happened(told: Sale, opera: Caller) -> None:
    joined, held = opera.get("/v1/feed?limit=2").json["messages"]
    assert (joined["type"], held["type"]) == ("entry.joined", "booking.held")
    assert held["event_id"] == told.id and held["livemode"] and held["version"] == 1
    assert held["data"]["entry_id"] == joined["data"]["entry_id"]
    assert held["data"]["total"] == sum(s["price"] + s["fee"] for s in held["data"]["seats"])
    assert [seat["ticket_id"] for seat in held["data"]["seats"]] == [None, None]
    assert UUID(held["data"]["booking_id"])


def test_answers_are_as_the_document_says(told: Sale, opera: Caller, document: Document) -> None:
    operation = document.operations["readFeed"]
    for path in ("/v1/feed", "/v1/feed?after=99"):
        assert document.errors_of(operation, opera.get(path)) == []


def test_a_wrong_cursor_is_told_what_there_is(told: Sale, opera: Caller, conn: Conn) -> None:
    unknown = opera.get("/v1/feed?after=99")
    assert (unknown.status_code, unknown.json["conflict_reason"]) == (409, "cursor_unknown")
    assert (unknown.json["oldest"], unknown.json["last"]) == (1, 4)
    conn.execute("delete from feed_messages where number < 3")
    old = opera.get("/v1/feed?after=1")
    assert (old.status_code, old.json["conflict_reason"]) == (409, "cursor_too_old")
    assert (old.json["oldest"], old.json["last"]) == (3, 4)
    assert opera.get("/v1/feed?after=2").status_code == 200
    for wrong in ("-1", "x", "1.5", "9" * 30):
        assert opera.get(f"/v1/feed?after={wrong}").status_code == 422


def test_an_organisation_reads_its_own(
    told: Sale, circus: Caller, operator: Caller, opera: Caller
) -> None:
    assert circus.get("/v1/feed").json["messages"] == []
    assert circus.get(f"/v1/feed?organisation_id={opera.id}").json["messages"] == []
    assert operator.get("/v1/feed").status_code == 422
    theirs = operator.get(f"/v1/feed?organisation_id={opera.id}").json
    assert len(theirs["messages"]) == 4


@pytest.mark.parametrize(("role", "may"), [("analyst", True), ("finance", True), ("door", False)])
def test_a_key_needs_the_right(told: Sale, opera: Caller, app: Flask, role: str, may: bool) -> None:
    answer = key_of(app, opera.id, role).get("/v1/feed")
    assert answer.status_code == (200 if may else 403)


def test_tests_are_told_to_keys_of_tests_alone(
    told: Sale, opera: Caller, app: Flask, conn: Conn, charlie: Caller
) -> None:
    conn.execute(
        """insert into gateway_accounts (organisation_id, provider, mode)
           select organisation_id, provider, 'test' from gateway_accounts limit 1"""
    )
    test = told.add_event(name="A test").open()
    conn.execute(
        """update events set is_test = true, gateway_account_id = (
               select max(id) from gateway_accounts where mode = 'test') where id = %s""",
        [test.id],
    )
    test.book(charlie, conn)
    number_all(conn)
    seen = key_of(app, opera.id, "organiser", ["test"]).get("/v1/feed").json
    assert [message["livemode"] for message in seen["messages"]] == [False, False]
    assert {message["event_id"] for message in seen["messages"]} == {test.id}
    live = opera.get("/v1/feed").json["messages"]
    assert {message["event_id"] for message in live} == {told.id}


def test_a_key_of_tests_is_made_by_the_api(opera: Caller) -> None:
    body = {"name": "staging", "role": "analyst", "scopes": ["test"]}
    made = opera.post(f"/v1/organisations/{opera.id}/api-keys", body, key="one")
    assert (made.status_code, made.json["scopes"]) == (201, ["test"])
