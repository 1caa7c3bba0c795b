"""Headers of mails: whatever a name or a title is made of, no line and no encoded word is too long,
and a reader sees it as it was written."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.mail.emails import Email
from db.presentation.texts import TextError, read_line
from db.runtime.settings import settings as usher_settings
from tasks.mail.compose import compose, fold

pytestmark = pytest.mark.usefixtures("configured")

MAIL = Email(
    id=UUID(int=7),
    template="sign_in",
    context={"code": "the code"},
    event_id=None,
    email="kai@usher.example",
    name="Kai",
    locale="en",
    verified=True,
    resends=0,
    postponement=None,
    booking=None,
    seats=None,
    currencies={},
)
BOOKED = {"code": "ABCD2345", "id": "1", "state": "held", "total": 0, "currency": "EUR",
          "breakdown": {"booking_fee": 0, "taxes": []}, "balance": None,
          "deadline": "2030-05-01T18:00:00+00:00",
          "quantity": 1, "event": "Evening", "instructions": "",
          "starts_at": "2030-05-01T18:00:00+00:00", "time_zone": "Europe/Berlin",
          "venue": "Theatre", "postponement": None}  # fmt: skip
NAMES = [
    "Александра Константиновна Преображенская-Оболенская",
    "😀" * 200,
    "👩🏽\u200d⚕\ufe0f" * 40,
    "林 さくら" * 20,
    "محمد " * 30,
    "x" * 200,
    "Zoë " + "x" * 190,
    "Anna " * 39,
    'Al "the \\ pal" <ice@example.org>, Bob',
    "=?utf-8?q?Bcc=3A_bob?=",
]


def check(mail: Email) -> EmailMessage:
    """The mail as its reader has it, after a look at its lines."""
    source = compose(mail).as_bytes()
    assert max(map(len, source.splitlines())) <= 78
    assert all(len(word) <= 75 for word in re.findall(rb"=\?[^?\s]+\?[bqBQ]\?[^?\s]*\?=", source))
    return message_from_bytes(source, policy=default)


@pytest.mark.faults("F3")
@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_mailed(name: str) -> None:
    name = read_line(name)
    check(replace(MAIL, template="held", booking=BOOKED, name=name))
    header = compose(replace(MAIL, template="held", booking=BOOKED, name=name))["To"]
    phrase, address = parseaddr(header)
    read = str(make_header(decode_header(phrase)))
    assert (read, address) == (name, "kai@usher.example")


@pytest.mark.faults("F3")
@pytest.mark.parametrize("name", NAMES)
def test_any_event_can_be_mailed(name: str) -> None:
    name = read_line(name)
    seen = check(replace(MAIL, template="held", booking=BOOKED | {"event": name}))
    assert seen["Subject"] == f"Your seats for {name} are held"


@pytest.mark.slow
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it is not changed
)
@given(st.text(min_size=1, max_size=200))
def test_whatever_is_accepted_as_a_name_can_be_mailed(text: str) -> None:
    try:
        name = read_line(text)
    except TextError:
        return
    if not name:
        return
    seen = check(replace(MAIL, template="held", booking=BOOKED, name=name))
    assert seen["X-Booking-Code"] == "ABCD2345"
    assert len(seen["To"].addresses) == 1
    assert seen["To"].addresses[0].addr_spec == "kai@usher.example"


def test_a_title_is_not_decoded_into_another_one() -> None:
    assert "=?" in fold("=?utf-8?q?Free_tickets?=", "Subject")
    seen = check(replace(MAIL, template="held", booking=BOOKED | {"event": "=?utf-8?q?Free?="}))
    assert "=?utf-8?q?Free?=" in seen["Subject"]


@pytest.mark.faults("H4")
@pytest.mark.parametrize("template", ["held", "confirmed", "cancelled", "expired", "pay_offline"])
def test_a_mail_to_an_address_that_is_not_verified_has_no_words_of_its_maker(template: str) -> None:
    spam = replace(MAIL, name="Win at https://casino.example", verified=False)
    mail = replace(spam, template=template, booking=BOOKED)
    seen = check(mail)
    for part in seen.iter_parts():
        text = cast(EmailMessage, part).get_content()
        assert "casino" not in text
        assert "Hello," in text
    assert "casino" not in str(seen["To"])


def test_a_mail_that_is_sent_again_on_purpose_is_another_one() -> None:
    assert compose(MAIL)["Message-ID"] == f"<{MAIL.id}@usher.example>"
    assert compose(replace(MAIL, resends=1))["Message-ID"] == f"<{MAIL.id}.1@usher.example>"


@pytest.mark.faults("F2")
def test_the_sender_may_have_letters_of_its_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_FROM", "Theater an der Straße <karten@straße.example>")
    usher_settings.cache_clear()
    seen = check(MAIL)
    assert seen["From"].addresses[0].addr_spec == "karten@xn--strae-oqa.example"
    assert seen["Message-ID"].endswith("@xn--strae-oqa.example>")
