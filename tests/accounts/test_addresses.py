"""One mailbox is one account, and what is accepted at the door can be mailed."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from db.connections import Conn, one
from db.presentation.addresses import AddressError, read_address, without_addresses
from ops.deploy.migrate import migrate
from tests.support.world import Caller

FORMS = [
    "kai@bücher.example",
    "Kai@BÜCHER.example",
    "kai@bu\u0308cher.example",
    "kai@xn--bcher-kva.example",
    "KAI@XN--BCHER-KVA.EXAMPLE",
    "kai@\uff42ücher\u3002example",
    '"kai"@bücher.example',
    "  kai@bücher.example ",
]
"""One mailbox: as typed, in capitals, in NFD, in punycode, full-width, quoted, with blanks."""


@pytest.mark.faults("F2")
@pytest.mark.parametrize(
    ("typed", "mailed"),
    [
        ("kai@straße.example", "kai@xn--strae-oqa.example"),
        ("Kai@Straße.Example", "Kai@xn--strae-oqa.example"),
        ("nikos@ελλάς.example", "nikos@xn--hxarsa0b.example"),
        ("anna@例え.example", "anna@xn--r8jz45g.example"),
        ("boris@почта.example", "boris@xn--80a1acny.example"),
        ("o'neill+tickets@Usher.example", "o'neill+tickets@usher.example"),
    ],
)
def test_a_domain_is_the_one_that_was_typed(
    anybody: Caller, conn: Conn, typed: str, mailed: str
) -> None:
    made = anybody.post("/v1/accounts", {"email": typed, "name": "Kai"})
    assert made.status_code == 201
    assert one(conn.execute("select email from buyers"))["email"] == mailed
    assert Caller(anybody.client, made.json["token"]).get("/v1/me").json["email"] == mailed


@pytest.mark.faults("F12")
@pytest.mark.parametrize("first", FORMS)
def test_one_mailbox_is_one_account(anybody: Caller, conn: Conn, first: str) -> None:
    assert anybody.post("/v1/accounts", {"email": first, "name": "Kai"}).status_code == 201
    for form in FORMS:
        again = anybody.post("/v1/accounts", {"email": form, "name": "Kai"})
        assert (again.status_code, again.json["conflict_reason"]) == (409, "account_exists")
    assert one(conn.execute("select count(*) as n from buyers"))["n"] == 1


@pytest.mark.faults("F12")
@pytest.mark.parametrize("form", FORMS)
def test_a_code_for_any_form_reaches_the_account(anybody: Caller, conn: Conn, form: str) -> None:
    made = anybody.post("/v1/accounts", {"email": FORMS[0], "name": "Kai"}).json
    asked = anybody.post("/v1/tokens", {"email": form})
    assert asked.status_code == 202
    mail = one(conn.execute("select buyer_id, context ->> 'code' as code from emails"))
    assert mail["buyer_id"] == made["id"]
    back = {"code": mail["code"], "request": asked.json["request"]}
    assert anybody.post("/v1/tokens", back).status_code == 201


@pytest.mark.faults("F3")
@pytest.mark.parametrize(
    "email",
    [
        "a@" + "ü" * 60 + ".example",
        "a" * 65 + "@usher.example",
        '"' + "a " * 40 + '"@usher.example',
        "a@" + "b" * 64 + ".example",
        "a@" + ".".join(["b" * 50] * 5) + ".example",
        "zoë@usher.example",
        "a@usher..example",
        "a@-usher.example",
        "a@us_her.example",
        "a@xn--a.example",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@usher.example.",
        "a@usher.example, b@usher.example",
        "a@usher.example\nBcc: b@usher.example",
        "a@ush\u200ber.example",
        "a@\u202eusher.example",
        "Kai <kai@usher.example>",
        "kai",
    ],
)
def test_an_address_that_cannot_be_mailed_is_refused_at_the_door(
    anybody: Caller, conn: Conn, email: str
) -> None:
    answers = [
        anybody.post("/v1/accounts", {"email": email, "name": "Kai"}),
        anybody.post("/v1/tokens", {"email": email}),
    ]
    for answer in answers:
        assert answer.status_code == 422
        assert [error["path"] for error in answer.json["errors"]] == ["email"]
    assert conn.execute("select from accounts").fetchall() == []


@pytest.mark.parametrize("email", [form.strip() for form in FORMS])
def test_the_form_that_is_mailed_is_read_as_itself(email: str) -> None:
    mailed = read_address(email)
    assert read_address(mailed) == mailed
    assert mailed.isascii()


def test_an_address_is_taken_out_of_texts() -> None:
    for address in ("kai@usher.example", '"k a\'i"@usher.example', "o'neill+a@b.example"):
        for text in ("<{}>: no such user", "{{'{}': (550, b'no')}}", "({})", "Key (email)=({})"):
            if "'" in address and "'{}'" in text:
                continue
            left = without_addresses(text.format(address))
            assert address.rpartition("@")[2] not in left
            assert "…@…" in left


@pytest.fixture
def old_rows(database_url: str, conn: Conn) -> Iterator[Any]:
    """A database from before the rule, to be filled with addresses as they were typed."""
    conn.execute("alter table buyers drop constraint buyers_email_mailed_form")

    def add(*emails: str) -> list[int]:
        query = """
            with a as (insert into accounts (password_hash) values (null) returning id)
            insert into buyers (id, email, name) select id, %s, 'Kai' from a returning id"""
        ids = [one(conn.execute(query, [email]))["id"] for email in emails]
        conn.execute("""
            alter table buyers add constraint buyers_email_mailed_form
                check (email ~ '^[ -~]+@[a-z0-9.-]+$') not valid""")
        return ids

    yield add


def addresses(url: str) -> list[str]:
    with psycopg.connect(url, row_factory=dict_row) as conn:
        return [row["email"] for row in conn.execute("select email from buyers order by id")]


@pytest.mark.faults("F12")
def test_a_release_rewrites_addresses_from_before(
    old_rows: Any, database_url: str, conn: Conn
) -> None:
    old_rows("kai@straße.example", "ANNA@Usher.Example", "bob@usher.example")
    assert migrate(database_url) == []
    assert addresses(database_url) == [
        "kai@xn--strae-oqa.example",
        "ANNA@usher.example",
        "bob@usher.example",
    ]
    query = "select convalidated from pg_constraint where conname = 'buyers_email_mailed_form'"
    assert one(conn.execute(query))["convalidated"]
    assert migrate(database_url) == []


@pytest.mark.faults("F12")
def test_a_release_says_which_accounts_have_one_mailbox(
    old_rows: Any, database_url: str, conn: Conn
) -> None:
    typed, nfd, odd = old_rows(
        "kai@bücher.example", "kai@bu\u0308cher.example", "zoë@usher.example"
    )
    conn.execute("update accounts set verified_at = now() where id = %s", [nfd])
    collides, unmailable = migrate(database_url)
    assert collides == f"buyers {nfd} and {typed} have one mailbox: only the first is found by it"
    assert unmailable.startswith(f"buyer {odd} has an address that cannot be mailed: ")
    assert addresses(database_url)[1] == "kai@xn--bcher-kva.example"
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("update buyers set email = 'kai@büro.example' where id = %s", [odd])


def test_an_address_is_refused_with_its_reason() -> None:
    with pytest.raises(AddressError, match="too long"):
        read_address("a" * 65 + "@usher.example")
