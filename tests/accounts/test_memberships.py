"""People who work for an organisation: invited, with a role, until they leave."""

from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, Thread
from typing import Any

import pytest
from flask import Flask

from db.accounts import memberships
from db.connections import Conn, one, transaction
from db.runtime.errors import Conflict, NotAllowed, NotFound
from tests.support.staff import MEMBER, sign_in_as, sign_in_staff
from tests.support.world import Answer, Caller, Sale


@pytest.fixture
def owner(app: Flask, opera: Caller) -> Caller:
    return sign_in_staff(app, "owner", opera.id)


def path_of(opera: Caller) -> str:
    return f"/v1/organisations/{opera.id}"


def invite(by: Caller, opera: Caller, email: str = "ben@example.org", **wanted: Any) -> Answer:
    body = {"email": email, "role": "box_office"} | wanted
    return by.post(f"{path_of(opera)}/invitations", body, key=f"{email} {wanted}")


def mailed_code(conn: Conn) -> str:
    query = "select context from emails where template = 'invited' order by created_at desc limit 1"
    return str(one(conn.execute(query))["context"]["code"])


def account_of(conn: Conn, email: str) -> int:
    return int(one(conn.execute("select id from buyers where email = %s", [email]))["id"])


def proven(conn: Conn, app: Flask, email: str = "ben@example.org") -> Caller:
    """A session of the person with this address, which is proven."""
    account_id = account_of(conn, email)
    query = "update accounts set verified_at = clock_timestamp() where id = %s"
    conn.execute(query, [account_id])
    return sign_in_as(app, account_id)


def accept(who: Caller, code: str) -> Answer:
    return who.post("/v1/me/memberships", {"code": code})


def test_an_invitation_makes_a_member(app: Flask, opera: Caller, owner: Caller, conn: Conn) -> None:
    invited = invite(owner, opera)
    assert invited.status_code == 201, invited.text
    assert invited.json["email"] == "ben@example.org"
    code = mailed_code(conn)
    assert code not in invited.text
    ben = proven(conn, app)
    assert ben.get("/v1/venues").json["conflict_reason"] == "not_a_member"
    (own,) = accept(ben, code).json
    assert (own["organisation"], own["role"]) == ("Opera", "box_office")
    assert ben.get("/v1/venues").status_code == 200
    assert ben.post("/v1/venues", {"name": "X", "time_zone": "UTC"}).status_code == 403
    members = owner.get(f"{path_of(opera)}/members").json
    assert [m["email"] for m in members] == [f"owner.{opera.id}@example.org", "ben@example.org"]
    assert owner.get(f"{path_of(opera)}/invitations").json == []


def test_the_mailbox_has_to_be_proven(
    app: Flask, opera: Caller, owner: Caller, conn: Conn, anybody: Caller
) -> None:
    """A stranger had made the account, and even knows the code."""
    body = {"email": "ben@example.org", "name": "Ben"}
    stranger = Caller(app.test_client(), anybody.post("/v1/accounts", body).json["token"])
    invite(owner, opera)
    refused = accept(stranger, mailed_code(conn))
    assert refused.status_code == 409
    assert refused.json["conflict_reason"] == "address_not_verified"


def test_an_invitation_is_for_one_account_and_once(
    app: Flask, opera: Caller, owner: Caller, conn: Conn, alice: Caller
) -> None:
    invite(owner, opera)
    code = mailed_code(conn)
    ben = proven(conn, app)
    assert accept(alice, code).status_code == 409
    assert accept(ben, code).status_code == 201
    assert accept(ben, code).status_code == 409
    invite(owner, opera, role="finance")
    assert accept(ben, mailed_code(conn)).json["conflict_reason"] == "already_member"


@pytest.mark.parametrize(
    "over",
    [
        "update invitations set expires_at = clock_timestamp()",
        "update invitations set ended_at = clock_timestamp()",
    ],
)
def test_an_invitation_that_is_over_opens_nothing(
    app: Flask, opera: Caller, owner: Caller, conn: Conn, over: str
) -> None:
    invite(owner, opera)
    ben = proven(conn, app)
    conn.execute(over)
    assert accept(ben, mailed_code(conn)).status_code == 409


def test_an_invitation_is_withdrawn_and_replaced(
    app: Flask, opera: Caller, owner: Caller, conn: Conn, anybody: Caller
) -> None:
    invite(owner, opera)
    first = mailed_code(conn)
    page = f"/invitation?code={first}"
    assert "Opera" in anybody.get(page).text
    invited = invite(owner, opera, role="door")
    assert anybody.get(page).status_code == 404
    second = mailed_code(conn)
    ben = proven(conn, app)
    assert accept(ben, first).status_code == 409
    path = f"{path_of(opera)}/invitations/{invited.json['id']}"
    assert owner.delete(path).status_code == 204
    assert owner.delete(path).status_code == 404
    assert accept(ben, second).status_code == 409


def test_opening_the_link_uses_nothing(
    app: Flask, opera: Caller, owner: Caller, conn: Conn, anybody: Caller
) -> None:
    invite(owner, opera)
    code = mailed_code(conn)
    for _ in range(2):
        answer = anybody.get(f"/invitation?code={code}")
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
    assert accept(proven(conn, app), code).status_code == 201


def test_a_role_is_changed_from_the_next_request_on(
    app: Flask, opera: Caller, owner: Caller
) -> None:
    ben = sign_in_staff(app, "door", opera.id)
    (member,) = [m for m in owner.get(f"{path_of(opera)}/members").json if m["role"] == "door"]
    body = {"name": "Hall", "time_zone": "UTC"}
    assert ben.post("/v1/venues", body).status_code == 403
    changed = owner.patch(f"{path_of(opera)}/members/{member['id']}", {"role": "manager"})
    assert changed.json["role"] == "manager"
    assert ben.post("/v1/venues", body).status_code == 201


def test_who_leaves_loses_sessions_keys_and_invitations_at_once(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    other = sign_in_staff(app, "owner", opera.id, "other")
    made = other.post(f"{path_of(opera)}/api-keys", {"name": "x", "role": "manager"}, key="1")
    key = Caller(other.client, made.json["key"])
    by_key = opera.post(f"{path_of(opera)}/api-keys", {"name": "y", "role": "door"}, key="2")
    invite(other, opera)
    ben = proven(conn, app)
    assert key.get("/v1/venues").status_code == 200
    (member,) = other.get("/v1/me/memberships").json
    assert other.delete(f"/v1/me/memberships/{member['id']}").status_code == 204
    assert other.get("/v1/venues").status_code in (401, 403)
    assert key.get("/v1/venues").status_code == 401
    assert accept(ben, mailed_code(conn)).status_code == 409
    assert Caller(owner.client, by_key.json["key"]).get("/v1/venues").status_code == 200
    query = "select count(*) as n from sessions where account_id = %s and ended_at is null"
    assert one(conn.execute(query, [other.id]))["n"] == 0


def test_a_key_that_was_rotated_by_another_outlives_its_maker(
    app: Flask, opera: Caller, owner: Caller
) -> None:
    """The one who left has seen the secret before: that one ends."""
    other = sign_in_staff(app, "owner", opera.id, "other")
    made = other.post(f"{path_of(opera)}/api-keys", {"name": "x", "role": "manager"}, key="1")
    rotation = f"{path_of(opera)}/api-keys/{made.json['id']}/rotation"
    rotated = owner.post(rotation, {"overlap_seconds": 3600}, key="2")
    (member,) = other.get("/v1/me/memberships").json
    assert other.delete(f"/v1/me/memberships/{member['id']}").status_code == 204
    assert Caller(app.test_client(), made.json["key"]).get("/v1/venues").status_code == 401
    assert Caller(app.test_client(), rotated.json["key"]).get("/v1/venues").status_code == 200


def test_who_is_no_owner_any_more_loses_keys_and_invitations(
    app: Flask, opera: Caller, owner: Caller, conn: Conn
) -> None:
    """With a key that opens all, or a friend who is invited as an owner, it would stay one."""
    other = sign_in_staff(app, "owner", opera.id, "other")
    wanted = {"name": "x", "role": "organiser", "scopes": ["dangerous"]}
    made = other.post(f"{path_of(opera)}/api-keys", wanted, key="1")
    invite(other, opera, role="owner")
    ben = proven(conn, app)
    (member,) = other.get("/v1/me/memberships").json
    path = f"{path_of(opera)}/members/{member['id']}"
    assert owner.patch(path, {"role": "manager"}).status_code == 200
    assert Caller(app.test_client(), made.json["key"]).get("/v1/venues").status_code == 401
    assert accept(ben, mailed_code(conn)).json["conflict_reason"] == "invitation_over"
    assert other.get("/v1/venues").status_code == 200
    with pytest.raises(NotAllowed):
        memberships.check_stays_owner(conn, other.id, opera.id)
    memberships.check_stays_owner(conn, owner.id, opera.id)


def test_keys_that_a_blocked_person_has_seen_are_blocked(
    app: Flask, opera: Caller, owner: Caller, operator: Caller
) -> None:
    made = owner.post(f"{path_of(opera)}/api-keys", {"name": "x", "role": "manager"}, key="1")
    key, block = Caller(app.test_client(), made.json["key"]), f"/v1/accounts/{owner.id}/block"
    assert operator.call("PUT", block, {"reason": "stole"}).status_code == 200
    assert key.get("/v1/venues").status_code == 401
    assert opera.get("/v1/venues").status_code == 200
    assert operator.delete(block).status_code == 200
    assert key.get("/v1/venues").status_code == 200


def test_who_works_for_an_organisation_leaves_it_before_closing_the_account(
    app: Flask, opera: Caller, owner: Caller
) -> None:
    """Else the last owner would leave so, and keys would stay."""
    refused = owner.post("/v1/me/closing", {"understood": True})
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "still_a_member")
    assert owner.get("/v1/venues").status_code == 200
    sign_in_staff(app, "owner", opera.id, "other")
    (member,) = owner.get("/v1/me/memberships").json
    assert owner.delete(f"/v1/me/memberships/{member['id']}").status_code == 204
    again = sign_in_as(app, owner.id)
    assert again.post("/v1/me/closing", {"understood": True}).status_code == 204


def test_who_is_removed_is_out_at_once(app: Flask, opera: Caller, owner: Caller) -> None:
    ben = sign_in_staff(app, "box_office", opera.id)
    assert ben.get("/v1/venues").status_code == 200
    member = owner.get(f"{path_of(opera)}/members").json[-1]
    assert owner.delete(f"{path_of(opera)}/members/{member['id']}").status_code == 204
    assert ben.get("/v1/venues").status_code in (401, 403)
    assert owner.delete(f"{path_of(opera)}/members/{member['id']}").status_code == 404


def test_the_last_owner_cannot_leave(app: Flask, opera: Caller, owner: Caller) -> None:
    (member,) = owner.get("/v1/me/memberships").json
    path = f"{path_of(opera)}/members/{member['id']}"
    for refused in (
        owner.delete(f"/v1/me/memberships/{member['id']}"),
        owner.delete(path),
        owner.patch(path, {"role": "finance"}),
    ):
        assert refused.json["conflict_reason"] == "last_owner"
    sign_in_staff(app, "owner", opera.id, "other")
    assert owner.patch(path, {"role": "finance"}).status_code == 200


def side_by_side(*acts: Callable[[Conn], Any]) -> list[BaseException | None]:
    """Acts in transactions of their own, begun at the same time; what each has raised."""
    barrier, raised = Barrier(len(acts)), [None] * len(acts)

    def run(n: int, act: Callable[[Conn], Any]) -> None:
        with transaction() as conn:
            conn.execute("select 1")
            barrier.wait(10)
            try:
                act(conn)
            except (Conflict, NotFound) as error:
                raised[n] = error  # type: ignore[call-overload]
                raise

    def quietly(n: int, act: Callable[[Conn], Any]) -> None:
        with suppress(Conflict, NotFound):
            run(n, act)

    threads = [Thread(target=quietly, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return list(raised)


@pytest.mark.parametrize("round", range(5))
def test_two_last_owners_cannot_both_leave(
    app: Flask, opera: Caller, owner: Caller, conn: Conn, round: int
) -> None:
    sign_in_staff(app, "owner", opera.id, "other")
    rows = conn.execute("select id from memberships order by id").fetchall()
    raised = side_by_side(
        *(lambda c, id=row["id"]: memberships.remove_member(c, opera.id, id) for row in rows)
    )
    assert sorted(type(error).__name__ for error in raised) == ["Conflict", "NoneType"]
    query = "select count(*) as n from memberships where ended_at is null and role = 'owner'"
    assert one(conn.execute(query))["n"] == 1


def test_with_several_memberships_a_request_names_one(
    app: Flask, opera: Caller, circus: Caller
) -> None:
    ben = sign_in_staff(app, "box_office", opera.id, "ben")
    with transaction() as conn:
        conn.execute(MEMBER, [ben.id, circus.id, "door"])
    answer = ben.get("/v1/venues")
    assert (answer.status_code, answer.json["conflict_reason"]) == (403, "organisation_needed")
    for organisation in (opera.id, circus.id):
        headers = {"Usher-Organisation": str(organisation)}
        assert ben.get("/v1/venues", headers=headers).status_code == 200
        path = f"/v1/organisations/{organisation}/events"
        assert ben.get(path, headers=headers).status_code == 200
        other = opera.id + circus.id - organisation
        assert ben.get(f"/v1/organisations/{other}/events", headers=headers).status_code == 404
    for wrong in ("0", "-1", "opera", "999999", "9" * 30):
        answer = ben.get("/v1/venues", headers={"Usher-Organisation": wrong})
        assert answer.status_code in (400, 403), wrong


def test_an_operator_who_is_a_member_too_names_the_platform(
    app: Flask, opera: Caller, owner: Caller
) -> None:
    ben = sign_in_staff(app, "operator", None, "ben")
    path, named = "/v1/tasks", {"Usher-Organisation": "platform"}
    assert ben.get(path).status_code == 200
    with transaction() as conn:
        conn.execute(MEMBER, [ben.id, opera.id, "manager"])
    assert ben.get(path).json["conflict_reason"] == "organisation_needed"
    assert ben.get(path, headers=named).status_code == 200
    assert ben.get(path, headers={"Usher-Organisation": str(opera.id)}).status_code == 403
    assert owner.get(path, headers=named).json["conflict_reason"] == "not_a_member"


def test_a_member_is_no_buyer_by_that_and_acts_are_in_its_name(
    app: Flask, opera: Caller, owner: Caller, tosca: Sale, conn: Conn
) -> None:
    assert owner.post(f"{tosca.path}/pause").status_code == 200
    query = "select actor from audit_log order by id desc limit 1"
    assert one(conn.execute(query))["actor"] == f"staff:{owner.id}"


def test_answers_are_repeated_in_the_organisation_in_which_they_were_given(
    app: Flask, opera: Caller, circus: Caller, owner: Caller, conn: Conn
) -> None:
    """One person, one key, two organisations: the second request is another one."""
    conn.execute(MEMBER, [owner.id, circus.id, "owner"])
    body = {"name": "Cellar", "time_zone": "Europe/Berlin"}

    def add(organisation: Caller) -> Answer:
        headers = {"Usher-Organisation": str(organisation.id)}
        return owner.post("/v1/venues", body, key="the same", headers=headers)

    first, second = add(opera), add(circus)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json["id"] != second.json["id"]
    assert "Idempotent-Replayed" not in second.headers
    for organisation, answer in ((opera, first), (circus, second)):
        again = add(organisation)
        assert (again.json, again.headers["Idempotent-Replayed"]) == (answer.json, "true")
    rows = conn.execute("select organisation_id from venues where name = 'Cellar' order by id")
    assert [row["organisation_id"] for row in rows] == [opera.id, circus.id]
