"""How often one address may ask."""

import uuid

import pytest
import redis

from db.runtime.settings import settings
from ops.local.servers import free_port
from tests.support.world import Answer, Caller, Sale
from web.app import create_app


@pytest.fixture
def limited(
    configured: dict[str, str], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> pytest.MonkeyPatch:
    """Two requests a minute; the app is yet to be made."""
    few = dict.fromkeys(["accounts.add_account", "accounts.add_token"], "2 per minute")
    monkeypatch.setattr(
        "web.support.rate_limits.LIMITS", few | {"queue.join_queue": "2 per minute"}
    )
    monkeypatch.setenv("RATE_LIMITS", "on")
    settings.cache_clear()
    return monkeypatch


def ask(anybody: Caller, address: str = "192.0.2.1", forwarded: str = "") -> Answer:
    return anybody.post(
        "/v1/tokens",
        {"email": "nobody@example.org"},
        headers={"X-Forwarded-For": forwarded} if forwarded else {},
        environ_base={"REMOTE_ADDR": address},
    )


def test_one_address_is_refused_after_so_many(limited: object, redis_url: str) -> None:
    anybody, other_process = (Caller(create_app().test_client()) for _ in range(2))
    assert [ask(anybody).status_code, ask(other_process).status_code] == [202, 202]
    refused = ask(anybody)
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    assert refused.json["retry_after"] == int(refused.headers["Retry-After"]) == 60
    assert ask(anybody, "192.0.2.2").status_code == 202
    with redis.Redis.from_url(settings().cache_url) as kept:
        assert kept.keys("*usher*") != []


def test_an_ipv6_customer_has_one_count(limited: object) -> None:
    anybody = Caller(create_app().test_client())
    own = [ask(anybody, f"2001:db8:0:1::{n}").status_code for n in (1, 2, 3)]
    assert own == [202, 202, 429]
    assert ask(anybody, "2001:db8:0:2::1").status_code == 202


def test_each_process_counts_for_itself_while_redis_is_away(limited: pytest.MonkeyPatch) -> None:
    limited.setenv("CACHE_URL", f"redis://127.0.0.1:{free_port()}/1")
    settings.cache_clear()
    anybody = Caller(create_app().test_client())
    assert [ask(anybody).status_code for _ in range(3)] == [202, 202, 429]


@pytest.mark.parametrize(("proxies", "statuses"), [("0", [202, 202, 429]), ("1", [202] * 3)])
def test_a_forwarded_address_is_believed_of_our_own_proxies_only(
    limited: pytest.MonkeyPatch, proxies: str, statuses: list[int]
) -> None:
    limited.setenv("TRUSTED_PROXIES", proxies)
    settings.cache_clear()
    anybody = Caller(create_app().test_client())
    asked = [ask(anybody, forwarded=f"198.51.100.9, 203.0.113.{n}") for n in (1, 2, 3)]
    assert [answer.status_code for answer in asked] == statuses
    if proxies == "1":  # of the addresses in the header only the last is our proxy's word
        again = [ask(anybody, forwarded=f"198.51.100.{n}, 203.0.113.1") for n in (1, 2)]
        assert [answer.status_code for answer in again] == [202, 429]


def test_joining_is_limited(limited: object, tosca: Sale, alice: Caller) -> None:
    limited_alice = Caller(create_app().test_client(), alice.token)
    answers = [tosca.join(limited_alice, key=str(uuid.uuid4())).status_code for _ in range(3)]
    assert answers == [201, 409, 429]


@pytest.mark.parametrize(("proxies", "limits"), [("0", "off"), ("1", "on")])
def test_limits_are_on_where_buyers_addresses_are_known(
    limited: pytest.MonkeyPatch, proxies: str, limits: str
) -> None:
    """Behind a proxy whose word is not taken the whole crowd would be one address."""
    limited.delenv("RATE_LIMITS")
    limited.setenv("TRUSTED_PROXIES", proxies)
    settings.cache_clear()
    assert settings().rate_limits == limits
