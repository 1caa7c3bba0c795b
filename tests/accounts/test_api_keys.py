"""Keys of servers: shown once, limited in time, place and what they may do, and rotated."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from db.accounts import api_keys
from db.accounts.api_keys import EVERYTHING
from db.connections import Conn, one
from tests.support.world import Answer, Caller, Sale


def keys_path(seller: Caller) -> str:
    return f"/v1/organisations/{seller.id}/api-keys"


def add(seller: Caller, key: str = "add", **wanted: Any) -> Answer:
    return seller.post(keys_path(seller), {"name": "shop", "role": "manager"} | wanted, key=key)


def holder(seller: Caller, added: Answer) -> Caller:
    assert added.status_code == 201, added.text
    return Caller(seller.client, added.json["key"], seller.id)


def test_a_key_is_made_shown_once_and_listed_by_its_prefix(opera: Caller) -> None:
    added = add(opera)
    shop = holder(opera, added)
    assert shop.get("/v1/venues").status_code == 200
    listed = opera.get(keys_path(opera))
    last = listed.json[-1]
    assert added.json["key"] not in listed.text
    assert added.json["key"].startswith(last["prefix"])
    assert len(last["prefix"]) == 12
    assert (last["role"], last["name"], last["scopes"]) == ("manager", "shop", [])


def test_an_answer_with_a_key_is_not_kept(opera: Caller, conn: Conn) -> None:
    added = add(opera)
    again = add(opera)
    assert again.status_code == 409
    assert again.json["conflict_reason"] == "already_answered"
    assert len(opera.get(keys_path(opera)).json) == 2
    kept = one(conn.execute("select response, status from idempotency_keys where key = 'add'"))
    assert kept == {"response": {}, "status": 409}
    rotation = f"{keys_path(opera)}/{added.json['id']}/rotation"
    first = opera.post(rotation, {}, key="rotate")
    assert first.status_code == 201
    assert opera.post(rotation, {}, key="rotate").json["conflict_reason"] == "already_answered"
    assert holder(opera, first).get("/v1/venues").status_code == 200
    assert opera.post(rotation, {"overlap_seconds": 1}, key="rotate").status_code == 422


def test_only_hashes_are_stored(opera: Caller, conn: Conn) -> None:
    key = add(opera).json["key"]
    for table in ("api_keys", "idempotency_keys", "audit_log"):
        rows = conn.execute(f"select t::text from {table} t").fetchall()
        assert rows
        assert key[12:] not in str(rows)


def test_a_key_that_was_rotated_is_good_for_the_overlap(opera: Caller, conn: Conn) -> None:
    old = holder(opera, add(opera))
    (key_id,) = (key["id"] for key in opera.get(keys_path(opera)).json if key["name"] == "shop")
    rotation = f"{keys_path(opera)}/{key_id}/rotation"
    rotated = opera.post(rotation, {"overlap_seconds": 3600}, key="1")
    new = holder(opera, rotated)
    assert [old.get("/v1/venues").status_code, new.get("/v1/venues").status_code] == [200, 200]
    conn.execute("update api_keys set old_until = clock_timestamp() where id = %s", [key_id])
    assert [old.get("/v1/venues").status_code, new.get("/v1/venues").status_code] == [401, 200]
    newest = holder(opera, opera.post(rotation, {"overlap_seconds": 0}, key="2"))
    assert [new.get("/v1/venues").status_code, newest.get("/v1/venues").status_code] == [401, 200]


def test_a_key_ends_when_it_expires_or_is_revoked(opera: Caller, conn: Conn) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    added = add(opera, expires_at=tomorrow)
    shop = holder(opera, added)
    assert shop.get("/v1/venues").status_code == 200
    conn.execute("update api_keys set expires_at = clock_timestamp() where name = 'shop'")
    assert shop.get("/v1/venues").status_code == 401
    rotation = f"{keys_path(opera)}/{added.json['id']}/rotation"
    assert opera.post(rotation, {}, key="r").json["conflict_reason"] == "key_ended"
    path = f"{keys_path(opera)}/{add(opera, key='another').json['id']}"
    assert opera.delete(path).status_code == 204
    assert opera.delete(path).json["conflict_reason"] == "key_ended"
    assert opera.get(path).json["revoked_at"]


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (["192.0.2.0/24"], "192.0.2.7", 200),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", 200),
        (["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", 200),
        (["192.0.2.0/24"], "198.51.100.7", 403),
        (["192.0.2.0/24"], "unknown", 403),
        ([], "198.51.100.7", 200),
    ],
)
def test_a_key_is_good_in_its_networks(
    opera: Caller, networks: list[str], address: str, status: int
) -> None:
    shop = holder(opera, add(opera, networks=networks))
    environ = {"REMOTE_ADDR": address}
    assert shop.get("/v1/venues", environ_base=environ).status_code == status


@pytest.mark.parametrize(
    "wrong",
    [
        {"networks": ["192.0.2.1/24"]},
        {"networks": ["everywhere"]},
        {"role": "operator"},
        {"role": "owner"},
        {"scopes": ["all"]},
        {"expires_at": "tomorrow"},
    ],
)
def test_nonsense_is_refused(opera: Caller, wrong: dict[str, Any]) -> None:
    assert add(opera, **wrong).status_code == 422
    assert len(opera.get(keys_path(opera)).json) == 1


def test_dangerous_acts_need_the_scope(opera: Caller, tosca: Sale) -> None:
    plain = holder(opera, add(opera))
    able = holder(opera, add(opera, key="able", scopes=["dangerous"]))
    refused = plain.post(f"{tosca.path}/cancel", {"reason": "ill"}, key="1")
    assert refused.status_code == 403
    assert refused.json["conflict_reason"] == "scope_missing"
    assert able.post(f"{tosca.path}/cancel", {"reason": "ill"}, key="1").status_code == 202


@pytest.fixture
def used_at(conn: Conn) -> Iterator[Any]:
    def read() -> datetime | None:
        row = one(conn.execute("select used_at from api_keys order by id limit 1"))
        found: datetime | None = row["used_at"]
        return found

    return iter(read, object())


def test_the_last_use_is_noted_once_a_minute(
    opera: Caller, conn: Conn, used_at: Iterator[Any]
) -> None:
    assert next(used_at) is None
    opera.get("/v1/venues")
    first = next(used_at)
    assert first is not None
    opera.get("/v1/venues")
    assert next(used_at) == first
    conn.execute("update api_keys set used_at = used_at - interval '1 min'")
    opera.get("/v1/venues")
    assert next(used_at) >= first


def test_noting_the_use_waits_for_no_transaction(app: Flask, opera: Caller, conn: Conn) -> None:
    """The key's row is locked, as while it is rotated."""
    with conn.transaction():
        conn.execute("select from api_keys for update")
        assert opera.get("/v1/venues").status_code == 200
    assert one(conn.execute("select used_at from api_keys"))["used_at"] is None


def test_another_organisations_keys_are_not_found(opera: Caller, circus: Caller) -> None:
    key_id = add(opera).json["id"]
    for path in (f"{keys_path(opera)}/{key_id}", f"{keys_path(circus)}/{key_id}"):
        assert circus.get(path).status_code == 404
        assert circus.delete(path).status_code == 404
        assert circus.post(f"{path}/rotation", {}, key=path).status_code == 404


def test_a_key_says_how_it_begins_even_if_it_is_older_than_prefixes(
    opera: Caller, conn: Conn
) -> None:
    conn.execute("update api_keys set prefix = null")
    assert opera.get(keys_path(opera)).json[0]["prefix"] is None
    assert api_keys.add_key(conn, "operator", "night", None, EVERYTHING).startswith("usk_")
