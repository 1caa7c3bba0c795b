"""A day of each role: invited, second factor, the day's work, refused the rest, leaves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from db.accounts import invitations
from db.accounts.rights import NEED_SECOND_FACTOR, OF_STAFF, OPERATOR
from db.connections import Conn, transaction
from tests.support.staff import (
    CodeApp,
    mailed,
    set_up_factor,
    sign_in_by_mail,
    sign_in_staff,
)
from tests.support.world import Answer, Caller, Sale, path_of, small_hall

AT_THE_COUNTER = {"gated": False, "offline_seconds": 3600, "offline_instructions": "Here"}


@dataclass
class Day:
    """A member at work in the opera, whose Tosca is on sale; alice has paid two seats."""

    who: Caller
    opera: Caller
    tosca: Sale
    paid: dict[str, Any]
    keys: Iterator[int]

    @property
    def organisation(self) -> str:
        return f"/v1/organisations/{self.opera.id}"

    def does(self, method: str, path: str, body: Any = None) -> Answer:
        answer = self.call(method, path, body)
        assert answer.status_code < 300, (method, path, answer.text)
        return answer

    def is_refused(self, method: str, path: str, body: Any = None) -> None:
        answer = self.call(method, path, body)
        assert answer.status_code == 403, (method, path, answer.text)

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        return self.who.call(method, path, body, key=f"day {next(self.keys)}")


def own(day: Day) -> None:
    day.does("PATCH", day.organisation, {"vat_id": "DE 136695976"})
    made = day.does("POST", f"{day.organisation}/api-keys", {"name": "till", "role": "box_office"})
    day.does("DELETE", f"{day.organisation}/api-keys/{made.json['id']}")
    ben = {"email": "ben@example.org", "role": "door"}
    invited = day.does("POST", f"{day.organisation}/invitations", ben)
    day.does("DELETE", f"{day.organisation}/invitations/{invited.json['id']}")
    day.does("GET", f"{day.tosca.path}/reports/revenue")
    day.is_refused("GET", "/v1/tasks")
    day.is_refused("GET", "/v1/audit")


def manage(day: Day) -> None:
    venue = day.does("POST", "/v1/venues", {"name": "Studio", "time_zone": "Europe/Berlin"}).json
    day.does("POST", f"/v1/venues/{venue['id']}/plans", small_hall())
    aida = day.tosca.add_event(name="Aida")
    day.does("POST", f"{aida.path}/open")
    day.does("POST", f"{aida.path}/pause")
    day.does("POST", f"{aida.path}/resume")
    day.does("POST", f"{aida.path}/cancel", {"reason": "ill"})
    day.does("GET", f"{day.organisation}/members")
    day.is_refused("POST", f"{day.organisation}/api-keys", {"name": "x", "role": "door"})
    day.is_refused(
        "POST", f"{day.organisation}/invitations", {"email": "x@example.org", "role": "owner"}
    )
    day.is_refused("GET", "/v1/dead-letters")


def do_finance(day: Day) -> None:
    refunds = f"{path_of(day.tosca, day.paid)}/refunds"
    day.does("POST", refunds, {"reason": "ill"})
    day.does("GET", refunds)
    day.does("GET", "/v1/receipts")
    day.does("GET", f"{day.tosca.path}/disputes")
    day.does("GET", f"{day.tosca.path}/reports/revenue")
    day.is_refused("POST", f"{day.tosca.path}/cancel", {"reason": "ill"})
    day.is_refused("POST", f"{day.tosca.path}/pause")
    day.is_refused("POST", f"{day.tosca.path}/counter-bookings", {})
    day.is_refused("GET", f"{path_of(day.tosca, day.paid)}/address")


def sell(day: Day) -> None:
    counter = day.tosca.add_event(**AT_THE_COUNTER).open().path
    luis = {"email": "luis@example.org", "name": "Luis", "seats": ["2-1"], "accept_terms": True}
    booking = day.does("POST", f"{counter}/counter-bookings", luis).json
    money = {"reference": "desk 2, 118", "amount": booking["total"], "currency": "EUR"}
    day.does("POST", f"{counter}/bookings/{booking['id']}/payment/paid", money)
    day.does("GET", f"{counter}/offline-payments")
    day.does("GET", f"{path_of(day.tosca, day.paid)}/address")
    day.does("POST", f"{day.tosca.path}/blocks", {"seats": ["3-10"]})
    day.is_refused("POST", f"{path_of(day.tosca, day.paid)}/refunds", {"reason": "ill"})
    day.is_refused("GET", f"{day.tosca.path}/reports/revenue")
    day.is_refused("PATCH", day.tosca.path, {"name": "Norma"})


def mind_the_door(day: Day) -> None:
    day.does("GET", f"{day.organisation}/events")
    day.does("GET", "/v1/venues")
    day.is_refused("GET", f"{path_of(day.tosca, day.paid)}/address")
    day.is_refused("GET", f"{day.tosca.path}/reports/occupancy")
    day.is_refused("POST", f"{day.tosca.path}/close")
    day.is_refused("GET", f"{day.organisation}/members")


def analyse(day: Day) -> None:
    for report in ("occupancy", "revenue", "sales", "waits"):
        day.does("GET", f"{day.tosca.path}/reports/{report}")
    day.does("GET", f"{day.tosca.path}/changes")
    day.is_refused("GET", f"{path_of(day.tosca, day.paid)}/address")
    day.is_refused("GET", f"{path_of(day.tosca, day.paid)}/refunds")
    day.is_refused("PATCH", f"{day.tosca.path}/lane", {"weight": 2})


def operate(day: Day) -> None:
    day.does("GET", "/v1/tasks")
    day.does("GET", "/v1/dead-letters")
    day.does("GET", "/v1/audit")
    day.does("GET", f"{day.organisation}/events")
    day.does("POST", f"{day.tosca.path}/pause")


DAYS: dict[str, Callable[[Day], None]] = {
    "owner": own,
    "manager": manage,
    "finance": do_finance,
    "box_office": sell,
    "door": mind_the_door,
    "analyst": analyse,
    "operator": operate,
}


def test_every_role_has_its_day() -> None:
    assert set(DAYS) == {*OF_STAFF, OPERATOR}


def invite(opera: Caller, role: str, email: str) -> None:
    if role == OPERATOR:  # the console does
        with transaction("console:tests") as conn:
            invitations.invite(conn, None, email, role)
    else:
        path = f"/v1/organisations/{opera.id}/invitations"
        invited = opera.post(path, {"email": email, "role": role}, key=role)
        assert invited.status_code == 201, invited.text


def take_up(app: Flask, conn: Conn, role: str, email: str) -> tuple[Caller, CodeApp | None]:
    """Sign in by mail, accept, and set up a second factor where the role needs one."""
    who = sign_in_by_mail(app.test_client(), conn, email)
    accepted = who.post("/v1/me/memberships", {"code": mailed(conn, "invited")["code"]})
    assert [own["role"] for own in accepted.json] == [role]
    if role not in NEED_SECOND_FACTOR:
        return who, None
    assert who.get("/v1/venues").json["conflict_reason"] == "second_factor_needed"
    return who, set_up_factor(who)[0]


@pytest.mark.parametrize("role", DAYS)
def test_a_day(
    app: Flask, conn: Conn, opera: Caller, tosca: Sale, alice: Caller, paid: Any, role: str
) -> None:
    email = f"{role}.person@example.org"
    invite(opera, role, email)
    who, code_app = take_up(app, conn, role, email)
    day = Day(who, opera, tosca, paid, iter(range(10**6)))
    DAYS[role](day)
    if code_app:  # the next morning
        conn.execute("update sessions set second_factor_at = second_factor_at - interval '9 h'")
        refused = who.post(f"{tosca.path}/cancel", {"reason": "ill"}, key="morning")
        assert refused.status_code == 403
        given = who.post("/v1/me/second-factor/check", {"code": code_app.code()})
        assert given.status_code == 200, given.text
    leave(app, day, role)


def leave(app: Flask, day: Day, role: str) -> None:
    """An owner only when there is another one."""
    (membership,) = day.who.get("/v1/me/memberships").json
    path = f"/v1/me/memberships/{membership['id']}"
    if role == "owner":
        assert day.who.delete(path).json["conflict_reason"] == "last_owner"
        sign_in_staff(app, "owner", day.opera.id, "heir")
    assert day.who.delete(path).status_code == 204
    assert day.who.get("/v1/venues").status_code in (401, 403)
    assert day.who.get(f"{day.organisation}/events").status_code in (401, 403)
