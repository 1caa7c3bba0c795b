"""Signing in at an organisation's identity provider: it opens that organisation, and nothing else,
whatever the provider says."""

from collections.abc import Iterator
from time import monotonic, time
from typing import Any

import pytest
import requests
from flask import Flask
from joserfc.jwk import OctKey, RSAKey

from db.accounts import invitations
from db.connections import CalledInTransaction, Conn, one, transaction
from db.runtime.settings import settings
from ops.sandbox.identity_provider import (
    CLIENT,
    SECRET,
    IdentityProvider,
    identity_provider,
)
from tests.support.staff import mailed, sign_in_staff
from tests.support.world import Answer, Caller, sign_up
from web.oidc import calls
from web.oidc.begun import NAME
from web.support import cookies

OWN = {"Origin": "http://127.0.0.1:8000"}


@pytest.fixture
def loopback(configured: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OIDC_ADDRESSES", "loopback")
    settings.cache_clear()
    yield
    monkeypatch.delenv("OIDC_ADDRESSES")
    settings.cache_clear()


@pytest.fixture
def impatient(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app reads for each request what was ended."""
    monkeypatch.setattr(app.extensions["ended_tokens"], "_seconds", 0.0)


@pytest.fixture
def theirs(loopback: None, opera: Caller) -> Iterator[IdentityProvider]:
    """The opera's provider."""
    with identity_provider() as provider:
        configure(opera, provider)
        yield provider


def configure(organisation: Caller, provider: IdentityProvider, **changes: Any) -> None:
    path = f"/v1/organisations/{organisation.id}/identity-provider"
    given = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret": SECRET}
    answer = organisation.call("PUT", path, given | {"factor_amr": ["mfa"]} | changes)
    assert answer.status_code == 200, answer.text


class Browser:
    """One that keeps cookies."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def begin(self, organisation: Caller, **query: str) -> Answer:
        return self.get(f"/sign-in/oidc/{organisation.id}", query_string=query)

    def get(self, path: str, **more: Any) -> Answer:
        return self.client.get(path, base_url="https://127.0.0.1:8000", **more)

    def sign_in(
        self,
        organisation: Caller,
        provider: IdentityProvider,
        subject: str,
        invitation: str = "",
        **claims: Any,
    ) -> Answer:
        query = {"invitation": invitation} if invitation else {}
        begun = self.begin(organisation, **query)
        assert begun.status_code == 302, begun.text
        return self.get(provider.log_in(begun.headers["Location"], subject, **claims))

    @property
    def has_session(self) -> bool:
        return self.client.get_cookie(cookies.NAME, domain="127.0.0.1") is not None


def invite(conn: Conn, organisation: Caller, email: str, role: str) -> str:
    """The code of an invitation's mail."""
    invitations.invite(conn, organisation.id, email, role)
    return mailed(conn, "invited")["code"]


def accepted(
    app: Flask, conn: Conn, organisation: Caller, provider: IdentityProvider, role: str, **said: Any
) -> Browser:
    """A new member, dana, who has accepted by the provider."""
    browser = Browser(app)
    code = invite(conn, organisation, "dana@example.org", role)
    proven = {"email": "dana@example.org", "email_verified": True}
    answer = browser.sign_in(organisation, provider, "dana", code, **proven | said)
    assert answer.status_code == 200, answer.text
    return browser


def role_of(browser: Browser) -> list[tuple[int, str]]:
    answer = browser.get("/v1/me/memberships")
    assert answer.status_code == 200, answer.text
    return [(m["organisation_id"], m["role"]) for m in answer.json]


def test_an_invited_member_signs_in_by_the_provider_and_does_the_days_work(
    app: Flask, conn: Conn, opera: Caller, circus: Caller, theirs: IdentityProvider
) -> None:
    browser = accepted(app, conn, opera, theirs, "box_office")
    assert role_of(browser) == [(opera.id, "box_office")]
    again = Browser(app)
    assert again.sign_in(opera, theirs, "dana").status_code == 200
    assert again.get(f"/v1/organisations/{opera.id}/events").status_code == 200
    assert again.get(f"/v1/organisations/{circus.id}/events").status_code == 404
    headers = {"Usher-Organisation": str(circus.id)}
    assert again.get("/v1/venues", headers=headers).status_code == 403
    for path in ("/v1/me", "/v1/me/bookings", "/v1/me/personal-data", "/v1/me/second-factor"):
        assert again.get(path).status_code == 403, path
    row = one(conn.execute("select * from sessions order by id desc limit 1"))
    assert (row["authenticated_by"], row["organisation_id"]) == ("oidc", opera.id)


def test_who_is_bound_to_nothing_gets_nothing_whatever_address_it_has(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    owner = sign_in_staff(app, "owner", opera.id, "olga")
    mail = one(conn.execute("select email from buyers where id = %s", [owner.id]))["email"]
    browser = Browser(app)
    for claims in ({}, {"email": mail, "email_verified": True}):
        answer = browser.sign_in(opera, theirs, mail, **claims)
        assert answer.status_code == 403
    assert not browser.has_session


def test_one_organisations_provider_cannot_be_anothers_owner(
    app: Flask, conn: Conn, opera: Caller, circus: Caller, theirs: IdentityProvider
) -> None:
    """The circus' provider says the subject and the address of the opera's owner, also as the
    issuer of the opera's, and by an invitation of the circus."""
    owner = accepted(app, conn, opera, theirs, "owner", amr=["mfa"])
    assert role_of(owner) == [(opera.id, "owner")]
    with identity_provider() as evil:
        configure(circus, evil, factor_amr=["mfa"])
        said: dict[str, Any] = {"email": "dana@example.org", "email_verified": True}
        said["amr"] = ["mfa"]
        browser = Browser(app)
        assert browser.sign_in(circus, evil, "dana", **said).status_code == 403
        lie = browser.sign_in(circus, evil, "dana", **said, iss=theirs.issuer)
        assert lie.status_code == 401
        begun = browser.begin(circus)
        back = evil.log_in(begun.headers["Location"], "dana", **said)
        crossed = browser.get(back.replace(f"/oidc/{circus.id}/", f"/oidc/{opera.id}/"))
        assert crossed.status_code == 400
        evil.document = {"issuer": theirs.issuer}
        configure(circus, evil, issuer=evil.issuer)
        assert browser.begin(circus).status_code == 503
        evil.document = {}
        assert not browser.has_session
        code = invite(conn, circus, "dana@example.org", "analyst")
        assert browser.sign_in(circus, evil, "dana", code, **said).status_code == 200
        assert role_of(browser) == [(circus.id, "analyst")]
        check_opens_only(browser, circus, opera, conn)


def check_opens_only(browser: Browser, own: Caller, other: Caller, conn: Conn) -> None:
    """The account has a membership elsewhere, which the session neither sees nor ends."""
    for path in (f"/v1/organisations/{other.id}/members", "/v1/me"):
        assert browser.get(path).status_code in (403, 404), path
    membership = one(
        conn.execute("select id from memberships where organisation_id = %s", [other.id])
    )["id"]
    csrf = browser.get("/v1/me/session").json["csrf_token"]
    page = {"X-CSRF-Token": csrf, **OWN}
    calls = [
        ("DELETE", f"/v1/me/memberships/{membership}", None, 404),
        ("POST", "/v1/me/memberships", {"code": "x" * 32}, 403),
        ("POST", "/v1/me/second-factor", None, 403),
        ("POST", "/v1/me/second-factor/check", {"code": "123456"}, 403),
        ("DELETE", "/v1/me/second-factor", None, 403),
        ("PATCH", "/v1/me", {"name": "Mallory"}, 403),
        ("POST", "/v1/me/erasure", None, 403),
    ]
    for method, path, body, status in calls:
        more: dict[str, Any] = {} if body is None else {"json": body}
        answer = browser.client.open(
            path, method=method, headers=page, base_url="https://127.0.0.1:8000", **more
        )
        assert answer.status_code == status, (path, answer.text)
    ended = one(conn.execute("select count(*) as n from memberships where ended_at is not null"))
    assert ended["n"] == 0


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another client"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": int(time()) - 3600},
        {"exp": None},
        {"iss": "https://login.example"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
)
def test_a_token_that_is_not_for_this_sign_in_opens_nothing(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider, claims: dict[str, Any]
) -> None:
    accepted(app, conn, opera, theirs, "door")
    browser = Browser(app)
    assert browser.sign_in(opera, theirs, "dana", **claims).status_code == 401
    assert not browser.has_session


def test_a_token_that_another_key_has_signed_opens_nothing(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    accepted(app, conn, opera, theirs, "door")
    theirs.signs_with = RSAKey.generate_key(2048, {"kid": "1"})
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 401
    theirs.signs_with, theirs.algorithm = OctKey.import_key(SECRET * 3), "HS256"
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 401


def test_an_answer_counts_once_in_the_browser_that_asked(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    accepted(app, conn, opera, theirs, "door")
    browser, other = Browser(app), Browser(app)
    back = theirs.log_in(browser.begin(opera).headers["Location"], "dana")
    assert other.get(back).status_code == 400, "it did not ask"
    other.begin(opera)
    assert other.get(back).status_code == 400, "it asked for another one"
    assert browser.get(back).status_code == 200
    assert browser.client.get_cookie(NAME, domain="127.0.0.1") is None
    assert browser.get(back).status_code == 400
    assert not other.has_session


def test_an_address_that_was_never_proven_is_proven_by_both_or_not_at_all(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    """A stranger made an account for it; the mail's code alone leaves that account a way in."""
    stranger = sign_up(app.test_client(), "dana")
    code, browser = invite(conn, opera, "dana@example.org", "manager"), Browser(app)
    unproven: list[dict[str, Any]] = [
        {},
        {"email": "dana@example.org"},
        {"email": "dana@example.org", "email_verified": "true"},
        {"email": "other@example.org", "email_verified": True},
    ]
    for claims in unproven:
        assert browser.sign_in(opera, theirs, "dana", code, **claims).status_code == 409
    assert not browser.has_session
    said = {"email": "Dana@example.org", "email_verified": True}
    assert browser.sign_in(opera, theirs, "dana", code, **said).status_code == 200
    ended = "select ended_at is not null as ended from sessions where account_id = %s"
    assert one(conn.execute(f"{ended} order by id limit 1", [stranger.id]))["ended"]


def test_an_invitation_binds_once_and_one_identity_is_one_member(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    accepted(app, conn, opera, theirs, "door")
    used = mailed(conn, "invited")["code"]
    assert Browser(app).sign_in(opera, theirs, "eve", used).status_code == 409
    code = invite(conn, opera, "zoe@example.org", "owner")
    said = {"email": "zoe@example.org", "email_verified": True}
    assert Browser(app).sign_in(opera, theirs, "dana", code, **said).status_code == 409
    assert Browser(app).sign_in(opera, theirs, "zoe", code, **said).status_code == 200
    assert Browser(app).sign_in(opera, theirs, "eve", "made up").status_code == 409


def test_a_person_is_told_of_an_identity_that_signs_in(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    accepted(app, conn, opera, theirs, "door")
    assert mailed(conn, "sign_in_changed") == {"change": "identity_bound"}


def test_an_invitation_is_accepted_from_its_own_page(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    """Else a link of another person would sign its visitor in as that one."""
    code = invite(conn, opera, "dana@example.org", "door")
    page = Browser(app).get("/invitation", query_string={"code": code})
    assert f"/sign-in/oidc/{opera.id}?invitation={code}" in page.text
    for site, status in (("cross-site", 403), ("none", 403), ("same-origin", 302)):
        path, headers = f"/sign-in/oidc/{opera.id}?invitation={code}", {"Sec-Fetch-Site": site}
        assert Browser(app).get(path, headers=headers).status_code == status


@pytest.mark.usefixtures("impatient")
def test_a_member_binds_another_identity_by_another_invitation(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    before = accepted(app, conn, opera, theirs, "door")
    code, browser = invite(conn, opera, "dana@example.org", "manager"), Browser(app)
    assert browser.sign_in(opera, theirs, "dana.new", code).status_code == 200
    assert role_of(browser) == [(opera.id, "door")], "the role is changed elsewhere"
    assert before.get("/v1/me/memberships").status_code == 401
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 403


@pytest.mark.usefixtures("impatient")
def test_who_leaves_loses_the_identity_and_its_sessions(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    browser = accepted(app, conn, opera, theirs, "manager", amr=["mfa"])
    assert browser.get("/v1/venues").status_code == 200
    (member,) = opera.get(f"/v1/organisations/{opera.id}/members").json
    path = f"/v1/organisations/{opera.id}/members/{member['id']}"
    assert opera.delete(path).status_code == 204
    assert browser.get("/v1/venues").status_code == 401
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 403
    code = invite(conn, opera, "dana@example.org", "door")
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 403, "an invitation binds"
    assert Browser(app).sign_in(opera, theirs, "dana", code).status_code == 200


def test_a_blocked_account_does_not_sign_in(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    accepted(app, conn, opera, theirs, "door")
    conn.execute("update accounts set blocked_at = now(), blocked_reason = 'tests'")
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 403


@pytest.mark.parametrize(
    ("claims", "opens", "is_confirmed"),
    [
        ({}, 403, False),
        ({"amr": ["pwd"]}, 403, False),
        ({"amr": "mfa"}, 401, False),
        ({"amr": ["mfa"]}, 200, False),
        ({"amr": ["pwd", "mfa"], "auth_time": int(time()) - 3600}, 200, False),
        ({"amr": ["mfa"], "auth_time": int(time()) + 10**6}, 200, True),
        ({"acr": "urn:gold", "auth_time": int(time())}, 200, True),
    ],
)
def test_the_provider_says_whether_there_was_a_second_factor(
    app: Flask,
    conn: Conn,
    opera: Caller,
    theirs: IdentityProvider,
    claims: dict[str, Any],
    opens: int,
    is_confirmed: bool,
) -> None:
    """Owners need one, and a fresh one for what is dangerous: when it was is said by auth_time."""
    configure(opera, theirs, factor_acr=["urn:gold"])
    accepted(app, conn, opera, theirs, "owner")
    browser = Browser(app)
    answer = browser.sign_in(opera, theirs, "dana", **claims)
    if opens == 401:
        assert answer.status_code == 401
        return
    assert answer.status_code == 200
    assert browser.get("/v1/venues").status_code == opens
    if opens == 200:
        headers = {"X-CSRF-Token": browser.get("/v1/me/session").json["csrf_token"], **OWN}
        path = f"/v1/organisations/{opera.id}/identity-provider"
        deleted = browser.client.delete(path, headers=headers, base_url="https://127.0.0.1:8000")
        assert deleted.status_code == (204 if is_confirmed else 403), deleted.text


def test_the_provider_can_be_asked_to_ask_again(
    app: Flask, opera: Caller, theirs: IdentityProvider
) -> None:
    sent_to = Browser(app).begin(opera, again="1").headers["Location"]
    assert "prompt=login" in sent_to and "max_age=0" in sent_to
    assert "prompt" not in Browser(app).begin(opera).headers["Location"]


@pytest.mark.usefixtures("impatient")
def test_another_provider_ends_what_the_one_before_has_opened(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    browser = accepted(app, conn, opera, theirs, "door")
    with identity_provider() as other:
        begun = browser.begin(opera)
        configure(opera, other)
        assert browser.get("/v1/venues").status_code == 401
        assert browser.get(theirs.log_in(begun.headers["Location"], "dana")).status_code == 409
        assert Browser(app).sign_in(opera, other, "dana").status_code == 403
    path = f"/v1/organisations/{opera.id}/identity-provider"
    assert opera.delete(path).status_code == 204
    assert Browser(app).begin(opera).status_code == 404
    assert one(conn.execute("select count(*) as n from sealed_secrets"))["n"] == 0


def test_a_wrong_secret_or_code_is_refused_and_the_secret_is_nowhere(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    path = f"/v1/organisations/{opera.id}/identity-provider"
    assert SECRET not in opera.get(path).text
    row = one(conn.execute("select sealed from sealed_secrets"))
    assert row["sealed"].startswith("tests.")
    acts = conn.execute("select detail::text as d from audit_log").fetchall()
    assert not any(SECRET in act["d"] for act in acts)
    configure(opera, theirs, client_secret="wrong")
    assert Browser(app).sign_in(opera, theirs, "dana").status_code == 401
    browser = Browser(app)
    back = theirs.log_in(browser.begin(opera).headers["Location"], "dana")
    assert browser.get(back.replace("code=", "code=x")).status_code == 401
    browser.begin(opera)
    assert browser.get(f"/sign-in/oidc/{opera.id}/callback?error=access_denied").status_code == 400


def test_a_provider_that_is_away_or_slow_stops_no_other_sign_in(
    app: Flask,
    conn: Conn,
    opera: Caller,
    circus: Caller,
    theirs: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "SECONDS", 0.5)
    accepted(app, conn, opera, theirs, "door")
    with identity_provider() as slow:
        configure(circus, slow)
        slow.may_answer.clear()
        for _ in range(calls.OF_ONE):
            answer = Browser(app).begin(circus)
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers
        begun = monotonic()
        assert Browser(app).begin(circus).status_code == 503, "two are under way already"
        assert monotonic() - begun < 0.4
        monkeypatch.setattr(calls, "SECONDS", 5.0)
        assert Browser(app).sign_in(opera, theirs, "dana").status_code == 200
    assert Browser(app).begin(circus).status_code == 503, "it is gone"
    body = {"email": "dana@example.org"}
    assert Caller(app.test_client()).post("/v1/tokens", body).status_code == 202


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://login.example"},
        {"token_endpoint": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
        {"padding": "x" * 300_000},
    ],
)
def test_a_document_that_is_none_is_not_followed(
    app: Flask, opera: Caller, theirs: IdentityProvider, document: dict[str, Any]
) -> None:
    theirs.document = document
    assert Browser(app).begin(opera).status_code == 503


def test_a_provider_is_not_asked_inside_a_transaction(app: Flask) -> None:
    with transaction(), pytest.raises(CalledInTransaction):
        calls.calls.do(1, lambda: None)
    calls.calls.do(1, lambda: None)


def test_a_redirect_is_not_followed(
    app: Flask, opera: Caller, circus: Caller, theirs: IdentityProvider
) -> None:
    with identity_provider() as inner:
        theirs.redirects_to = f"{inner.issuer}/.well-known/openid-configuration"
        assert Browser(app).begin(opera).status_code == 503
        assert theirs.asked and not inner.asked


def test_private_addresses_are_not_called(
    app: Flask, opera: Caller, theirs: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is on this machine, and was configured while that was allowed."""
    theirs.asked.clear()
    conn_path = f"/v1/organisations/{opera.id}/identity-provider"
    with identity_provider() as tls:
        configure(opera, tls, issuer=tls.issuer.replace("http:", "https:"))
        monkeypatch.setenv("OIDC_ADDRESSES", "public")
        settings.cache_clear()
        assert Browser(app).begin(opera).status_code == 503
        assert not tls.asked
    given = {"issuer": theirs.issuer, "client_id": CLIENT, "client_secret": SECRET}
    assert opera.call("PUT", conn_path, given).status_code == 422
    for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"):
        made = calls.client(client_id=CLIENT)
        with pytest.raises(requests.RequestException) as refused:
            calls.get_json(made, f"https://{host}/")
        assert type(refused.value).__name__ == "InvalidIPAddress", host
    with pytest.raises(requests.exceptions.InvalidSchema):
        calls.get_json(calls.client(client_id=CLIENT), f"{theirs.issuer}/keys")


@pytest.mark.parametrize(
    "issuer", ["ftp://x.example", "https://", "https://a@b.example", "https://b.example/?x=1", "x"]
)
def test_an_issuer_is_an_address(opera: Caller, issuer: str) -> None:
    path = f"/v1/organisations/{opera.id}/identity-provider"
    given = {"issuer": issuer, "client_id": CLIENT, "client_secret": SECRET}
    assert opera.call("PUT", path, given).status_code == 422


def test_an_identity_is_erased_with_its_person(
    app: Flask, conn: Conn, opera: Caller, theirs: IdentityProvider
) -> None:
    accepted(app, conn, opera, theirs, "door")
    account = one(conn.execute("select id from buyers where email = 'dana@example.org'"))["id"]
    conn.execute("select erase_person(%s)", [account])
    assert one(conn.execute("select count(*) as n from identities"))["n"] == 0
