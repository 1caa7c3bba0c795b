"""The page to which a bank sends a buyer, and the addresses to which a shop may have them sent."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from db.connections import Conn, one
from db.presentation.gateway_words import FAILURES
from db.runtime.settings import settings
from tests.support.paying import THREE_DS, waits_for_buyer
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import CARD, Answer, Caller, Sale, backstage, path_of, pay, token_of
from web.app import create_app
from web.pages import payment_result
from web.pages.payment_result import result_url
from web.support import signing

STRIPES = "&payment_intent=pi_1&payment_intent_client_secret=pi_1_secret_2&redirect_status=failed"


def look(anybody: Caller, url: str) -> Answer:
    """What the buyer's browser shows, which has no token."""
    parts = urlsplit(url)
    return anybody.get(f"{parts.path}?{parts.query}{STRIPES}")


def title(answer: Answer) -> str:
    assert answer.mimetype == "text/html"
    found = re.search(r"<h1>(.*)</h1>", answer.text)
    assert found
    return found[1]


def sent_to_bank(tosca: Sale, alice: Caller, conn: Conn, **more: Any) -> tuple[UUID, str]:
    """Alice's booking, whose payment has begun, and the address that the gateway was given."""
    booking = tosca.book(alice, conn, seats=["1-1"])
    answer = alice.post(f"{path_of(tosca, booking)}/payment", CARD | more, key="pay")
    assert answer.status_code == 202, answer.text
    query = "select params ->> 'return_url' as url from payments"
    return UUID(booking["id"]), str(one(conn.execute(query))["url"])


@pytest.mark.faults("return page")
def test_a_bank_sends_the_buyer_to_a_page(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn
) -> None:
    booking, url = sent_to_bank(tosca, alice, conn)
    answer = look(anybody, url)
    assert (answer.status_code, title(answer)) == (200, "We are waiting for your bank")
    code = one(conn.execute("select code from bookings"))["code"]
    for words in (code, "Tosca", "Opera", "95.00 EUR", "Europe/Berlin, UTC+"):
        assert words in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "pi_1_secret" not in answer.text
    theatre = backstage(tosca, conn)
    conn.execute("update payments set state = 'authorised', gateway_ref = 'pi_1'")
    conn.execute("update bookings set state = 'secured'")
    theatre.record(booking, "captured", 9500)
    conn.execute("select confirm_bookings(event_id, array[id], array[payment_id]) from bookings")
    assert title(look(anybody, url)) == "Your seats are booked"
    assert "Look again" not in look(anybody, url).text


@pytest.mark.faults("return page")
@pytest.mark.parametrize(
    ("booking", "payment", "says"),
    [
        ("authorising", "requires_action", "We are waiting for your bank"),
        ("expiring", "requires_action", "We are waiting for your bank"),
        ("secured", "captured", "We are waiting for your bank"),
        ("secured", "processing", "Your payment is on its way"),
        ("review", "authorised", "Your payment is being checked"),
        ("frozen", "captured", "Your seats are booked"),
        ("expired", "voided", "These seats are not yours any more"),
        ("failed", "failed", "These seats are not yours any more"),
        ("cancelled", "voided", "These seats are not yours any more"),
        ("cancelled", "captured", "This booking was cancelled"),
    ],
)
def test_the_page_of_every_state(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn, booking: str, payment: str, says: str
) -> None:
    _, url = sent_to_bank(tosca, alice, conn)
    conn.execute("set session_replication_role = replica")  # not the way there, but the page
    conn.execute("update payments set state = %s, gateway_ref = 'pi_1', captured = amount",
                 [payment])  # fmt: skip
    conn.execute(
        """update bookings set state = %(state)s, review_reasons = '[]', review_until = now(),
            confirmed_at = case when %(paid)s then now() end,
            ended_at = case when %(state)s in ('expired', 'failed', 'cancelled') then now() end""",
        {"state": booking, "paid": payment == "captured" and booking != "secured"},
    )
    answer = look(anybody, url)
    assert (answer.status_code, title(answer)) == (200, says)
    assert ("http-equiv" in answer.text) == (says == "We are waiting for your bank")


@pytest.mark.faults("return page")
@pytest.mark.parametrize("code", ["payment_intent_authentication_failure", "stolen_card"])
def test_a_payment_that_failed_says_why_in_our_words_and_until_when(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn, code: str
) -> None:
    _, url = sent_to_bank(tosca, alice, conn)
    conn.execute(
        """update payments
        set state = 'failed', failure_code = %s, failure_message = 'PaymentMethod'""",
        [code],
    )
    conn.execute("update bookings set state = 'held', payment_id = null")
    answer = look(anybody, url)
    assert title(answer) == "The payment did not go through"
    told = "declined" if code == "stolen_card" else "not_approved"
    assert FAILURES[told] in answer.text
    assert re.search(r"held for you until <strong>\w+day \d+ \w+ \d{4}, \d\d:\d\d", answer.text)
    assert "PaymentMethod" not in answer.text and "stolen" not in answer.text


@pytest.mark.faults("return page")
def test_the_page_looks_again_some_times(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn
) -> None:
    _, url = sent_to_bank(tosca, alice, conn)
    looks = 0
    while found := re.search(r'content="\d+;url=([^"]+)"', look(anybody, url).text):
        url = payment_result.PATH + found[1].replace("&amp;", "&")
        looks += 1
    assert looks == len(payment_result.LOOKS)
    assert title(look(anybody, url)) == "We are waiting for your bank"
    assert "Look again" in look(anybody, url).text


@pytest.mark.faults("return page")
def test_only_a_signed_address_shows_a_booking(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking, url = sent_to_bank(tosca, alice, conn)
    wrong = [
        *(payment_result.PATH, f"{payment_result.PATH}?of=x", f"{url}x", url[:-20]),
        f"{payment_result.PATH}?of={alice.token}",
        result_url(tosca.id, uuid4()),
        result_url(tosca.id + 1, booking),
    ]
    monkeypatch.setattr(payment_result, "GOOD_FOR", timedelta(seconds=-1))
    for address in (*wrong, result_url(tosca.id, booking)):
        answer = look(anybody, address.replace("<", ""))
        assert (answer.status_code, title(answer)) == (404, "This link does not work"), address
    assert anybody.get("/pages/page.css").mimetype == "text/css"


@pytest.mark.faults("return page")
def test_an_address_is_good_after_the_secret_has_changed(
    tosca: Sale, alice: Caller, anybody: Caller, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = sent_to_bank(tosca, alice, conn)
    old = settings()
    changed = replace(
        old, secret_key="another one that is long enough too", secret_key_fallbacks=""
    )
    monkeypatch.setattr(signing, "settings", lambda: changed)
    assert look(anybody, url).status_code == 404
    both = replace(changed, secret_key_fallbacks=old.secret_key)
    monkeypatch.setattr(signing, "settings", lambda: both)
    assert look(anybody, url).status_code == 200


@pytest.mark.faults("return page")
def test_texts_of_an_event_are_not_markup(
    hall: Sale, alice: Caller, anybody: Caller, conn: Conn
) -> None:
    sale = hall.add_event(name="<script>alert(1)</script>").open()
    _, url = sent_to_bank(sale, alice, conn)
    answer = look(anybody, url)
    assert "<script>" not in answer.text and "&lt;script&gt;" in answer.text


@pytest.mark.faults("return page")
@pytest.mark.parametrize("outcome", ["approve", "fail"])
def test_from_the_bank_to_the_page(running: Running, outcome: str) -> None:
    """3-D Secure at the sandbox, with the address that it was given."""
    client = create_app().test_client()
    booking = running.sale.hold("alice")
    alice = Caller(client, token_of(running.booking(booking)["buyer_id"]))
    path = f"/v1/events/{running.sale.event}/bookings/{booking}"
    with running.work():
        started = alice.post(f"{path}/payment", {"payment_method": THREE_DS}, key="pay").json
        payment = UUID(started["payment"]["id"])
        wait_until(lambda: waits_for_buyer(running, payment))
        action = alice.get(path).json["payment"]["next_action"]["redirect_to_url"]
        running.sandbox.authenticate(str(running.payment(payment)["gateway_ref"]), outcome)
        running.notify(payment, "authorised" if outcome == "approve" else "failed")
        running.wait_for(booking, "confirmed" if outcome == "approve" else "held")
    answer = look(Caller(client), action["return_url"])
    if outcome == "approve":
        assert title(answer) == "Your seats are booked"
    else:
        assert title(answer) == "The payment did not go through"
        assert FAILURES["not_approved"] in answer.text


SHOP = "https://shop.example/opera"


@pytest.fixture
def shop(tosca: Sale) -> Sale:
    """The event, whose organisation sells in a shop of its own."""
    path = f"/v1/organisations/{tosca.opera.id}"
    answer = tosca.opera.patch(path, {"return_urls": [SHOP, "http://localhost:3000"]})
    assert answer.status_code == 200, answer.text
    return tosca


@pytest.mark.faults("return page")
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (SHOP, SHOP),
        (f"{SHOP}/", f"{SHOP}/"),
        (f"{SHOP}/back?booking=1&x=%C3%A9", f"{SHOP}/back?booking=1&x=%C3%A9"),
        ("HTTPS://Shop.Example:443/opera/back", f"{SHOP}/back"),
        ("http://localhost:3000/anything", "http://localhost:3000/anything"),
        ("http://localhost:3000", "http://localhost:3000"),
    ],
)
def test_a_shop_gets_its_buyer_back(
    shop: Sale, alice: Caller, conn: Conn, url: str, sent: str
) -> None:
    assert sent_to_bank(shop, alice, conn, return_url=url)[1] == sent


@pytest.mark.faults("return page")
@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/",
        "https://shop.example/operas",
        "https://shop.example/opera.evil",
        "https://shop.example/opera/../other",
        "https://shop.example/opera/%2e%2e/other",
        "https://shop.example/opera/..%2fother",
        "https://shop.example//opera",
        "https://shop.example.evil.example/opera",
        "https://evil.example/?https://shop.example/opera",
        "https://shop.example@evil.example/opera",
        "https://shop.example\\@evil.example/opera",
        "https://shop.example:8443/opera",
        "http://shop.example/opera",
        "http://localhost:3001/",
        "https://shop.example/opera#x",
        "https://\u0455hop.example/opera",
        "//shop.example/opera",
        "javascript:alert(1)",
        "https:///opera",
        "https://shop.example/opera\nx",
        "https://[::1/opera",
        "https://shop.example:99999/opera",
        "",
    ],
)
def test_a_buyer_is_sent_nowhere_else(shop: Sale, alice: Caller, conn: Conn, url: str) -> None:
    booking = shop.book(alice, conn)
    body = CARD | {"return_url": url}
    answer = alice.post(f"{path_of(shop, booking)}/payment", body, key="pay")
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "return_url")
    assert conn.execute("select from payments").fetchall() == []
    assert pay(shop, alice, booking).status_code == 202


@pytest.mark.faults("return page")
@pytest.mark.parametrize(
    "given",
    [
        {"return_urls": ["http://shop.example"]},
        {"return_urls": ["https://shop.example/a/../b"]},
        {"return_urls": ["https://*.example"]},
        {"return_urls": [SHOP, SHOP]},
        {"return_urls": [f"https://shop{n}.example" for n in range(21)]},
        {"return_urls": "https://shop.example"},
        {"vat_id": "DE\n1"},
        {"vat_id": "<b>"},
        {"name": ""},
        {"id": 7},
    ],
)
def test_settings_of_an_organisation_that_are_refused(opera: Caller, given: dict[str, Any]) -> None:
    path = f"/v1/organisations/{opera.id}"
    assert opera.patch(path, given).status_code == 422
    assert opera.get(path).json["return_urls"] == []


def test_an_organisations_settings_are_its_own(
    opera: Caller, circus: Caller, operator: Caller, alice: Caller, conn: Conn
) -> None:
    path = f"/v1/organisations/{opera.id}"
    assert circus.get(path).status_code == 404
    assert circus.patch(path, {"name": "Ours"}).status_code == 404
    assert alice.get(path).status_code == 403
    changed = operator.patch(path, {"address": "Opernplatz 1\n10117 Berlin", "vat_id": "DE 123"})
    assert changed.json == opera.get(path).json
    assert changed.json == {
        "id": opera.id,
        "name": "Opera",
        "address": "Opernplatz 1\n10117 Berlin",
        "vat_id": "DE 123",
        "return_urls": [],
        "suspended_at": None,
        "suspension": None,
        "test_mode": False,
    }
    (act,) = conn.execute("select detail from audit_log where action = 'organisation changed'")
    assert act["detail"] == {
        "id": opera.id,
        "address": {"from": "", "to": "Opernplatz 1\n10117 Berlin"},
        "vat_id": {"from": "", "to": "DE 123"},
    }


@pytest.mark.faults("receipts")
def test_a_receipt_has_the_sellers_address_and_vat_id_of_its_day(
    tosca: Sale, alice: Caller, paid: dict[str, Any], conn: Conn
) -> None:
    path = f"/v1/organisations/{tosca.opera.id}"
    tosca.opera.patch(path, {"address": "Opernplatz 1\n10117 Berlin", "vat_id": "DE123456789"})
    conn.execute("select number_receipts(%s, 10)", [tosca.opera.id])
    tosca.opera.patch(path, {"address": "Am Markt 2", "vat_id": ""})
    asked = tosca.opera.post(f"{path_of(tosca, paid)}/refunds", {"reason": "ill"}, key="back")
    assert asked.status_code == 201, asked.text
    conn.execute("update refunds set state = 'succeeded'")
    conn.execute("select number_receipts(%s, 10)", [tosca.opera.id])
    receipt, note = alice.get(f"{path_of(tosca, paid)}/receipts").json
    assert receipt["seller_address"] == "Opernplatz 1\n10117 Berlin"
    assert receipt["seller_vat_id"] == "DE123456789"
    assert (note["kind"], note["seller_address"], note["seller_vat_id"]) == (
        "credit_note",
        "Am Markt 2",
        "",
    )
