"""How often an account, an address and an API key may ask, and what is asked for an event."""

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from db.runtime.settings import Settings, SettingsError, read_settings, settings
from ops.crowd.addresses import addresses_of
from ops.local.servers import free_port
from tests.support.world import Answer, Caller, Sale, sign_up
from web.app import create_app
from web.support.client_address import forwarded_address, network_of
from web.support.passwords import OTHERS, hashing
from web.support.rate_limits import TABLE, parse_table

pytestmark = pytest.mark.usefixtures("configured")


def ask(anybody: Caller, address: str = "192.0.2.1", forwarded: str = "") -> Answer:
    return anybody.post(
        "/v1/tokens",
        {"email": "nobody@example.org"},
        headers={"X-Forwarded-For": forwarded} if forwarded else {},
        environ_base={"REMOTE_ADDR": address},
    )


TWO = "sign_in.address=2 per minute"


def test_one_address_is_refused_after_so_many(limited: Callable[..., Caller]) -> None:
    anybody = limited(LIMITS=TWO)
    other_process = Caller(create_app().test_client())
    assert [ask(anybody).status_code, ask(other_process).status_code] == [202, 202]
    refused = ask(anybody)
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    seconds = int(refused.headers["Retry-After"])
    assert 0 < seconds <= 60
    assert refused.json["retry_after"] == seconds
    assert ask(anybody, "192.0.2.2").status_code == 202
    with redis.Redis.from_url(settings().cache_url) as kept:
        assert kept.keys("usher:*") != []


def test_answers_say_what_is_left(limited: Callable[..., Caller]) -> None:
    anybody = limited(LIMITS=TWO)
    left = [ask(anybody).headers["RateLimit-Remaining"] for _ in range(3)]
    assert left == ["1", "0", "0"]
    answer = ask(anybody)
    assert answer.headers["RateLimit-Limit"] == "2"
    assert answer.headers["RateLimit-Reset"] == answer.headers["Retry-After"]


@pytest.mark.faults("X-Forwarded-For")
@pytest.mark.parametrize(
    "same",
    [
        ("2001:db8:0:1::1", "2001:db8:0:1::2", "2001:DB8:0:1:ffff::3"),
        ("192.0.2.7", "192.0.2.7:51234", "::ffff:192.0.2.7", "[::ffff:192.0.2.7]:443"),
        ("192.0.2.7", "::ffff:c000:207", "2002:c000:207::1", "64:ff9b::192.0.2.7"),
        ("2001:db8:0:1::1", "[2001:db8:0:1::1]", "[2001:db8:0:1::1]:8080"),
        ("fe80::1", "fe80::1%eth0"),
        ("nonsense", "", "_hidden", "unknown", "999.1.1.1"),
    ],
)
def test_a_network_is_counted_once_however_it_is_written(same: tuple[str, ...]) -> None:
    assert len({network_of(given) for given in same}) == 1


@pytest.mark.faults("X-Forwarded-For")
def test_neighbours_are_counted_for_themselves() -> None:
    apart = ["192.0.2.7", "192.0.2.8", "2001:db8:0:1::1", "2001:db8:0:2::1", "nonsense"]
    assert len({network_of(given) for given in apart}) == len(apart)


@pytest.mark.parametrize(
    ("header", "proxies", "client"),
    [
        ("198.51.100.9, 203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.9, 203.0.113.7:4711, 10.0.0.1", 2, "203.0.113.7"),
        ("203.0.113.7", 2, "192.0.2.1"),  # another proxy than ours has sent it
        ("203.0.113.7", 0, "192.0.2.1"),
        ("", 1, "192.0.2.1"),
    ],
)
def test_of_the_header_only_our_own_proxies_words_are_read(
    header: str, proxies: int, client: str
) -> None:
    assert forwarded_address(header, "192.0.2.1", proxies) == client


def test_an_ipv6_customer_has_one_count(limited: Callable[..., Caller]) -> None:
    anybody = limited(LIMITS=TWO)
    own = [ask(anybody, f"2001:db8:0:1::{n}").status_code for n in (1, 2, 3)]
    assert own == [202, 202, 429]
    assert ask(anybody, "2001:db8:0:2::1").status_code == 202


@pytest.mark.slow
def test_each_process_counts_for_itself_while_redis_is_away(
    limited: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    limited()
    monkeypatch.setenv("CACHE_URL", f"redis://127.0.0.1:{free_port()}/1")
    monkeypatch.setenv("LIMITS", TWO)
    settings.cache_clear()
    anybody = Caller(create_app().test_client())
    assert [ask(anybody).status_code for _ in range(3)] == [202, 202, 429]


@pytest.mark.parametrize(("proxies", "statuses"), [("0", [202, 202, 429]), ("1", [202] * 3)])
def test_a_forwarded_address_is_believed_of_our_own_proxies_only(
    limited: Callable[..., Caller], proxies: str, statuses: list[int]
) -> None:
    anybody = limited(LIMITS=TWO, TRUSTED_PROXIES=proxies)
    asked = [ask(anybody, forwarded=f"198.51.100.9, 203.0.113.{n}") for n in (1, 2, 3)]
    assert [answer.status_code for answer in asked] == statuses
    if proxies == "1":  # of the addresses in the header only the last is our proxy's word
        forged = [ask(anybody, forwarded=f"198.51.100.{n}, 203.0.113.9") for n in (1, 2, 3)]
        assert [answer.status_code for answer in forged] == [202, 202, 429]


def test_servers_of_a_shop_are_not_counted_by_address(limited: Callable[..., Caller]) -> None:
    anybody = limited(LIMITS=TWO, UNLIMITED_ADDRESSES="192.0.2.0/28 2001:db8::/48")
    assert {ask(anybody).status_code for _ in range(4)} == {202}
    assert [ask(anybody, "192.0.2.77").status_code for _ in range(3)] == [202, 202, 429]


BOOKING = {"quantity": 1}


def book(buyer: Caller, event: Sale, **wish: Any) -> Answer:
    return buyer.post(f"{event.path}/bookings", wish or BOOKING, key=str(uuid.uuid4()))


@pytest.mark.faults("H3")
def test_an_account_books_five_times_a_minute_and_others_go_on(
    limited: Callable[..., Caller], hall: Sale
) -> None:
    anybody, tosca = limited(), hall.add_event(gated=False).open()
    alice, bob = (sign_up(anybody.client, name) for name in ("alice", "bob"))
    statuses = [book(alice, tosca).status_code for _ in range(6)]
    assert statuses == [201] * 5 + [429]
    assert book(bob, tosca).status_code == 201


@pytest.mark.faults("H3")
def test_seats_that_others_take_meanwhile_do_not_cost_a_buyer_the_next_try(
    limited: Callable[..., Caller], hall: Sale
) -> None:
    anybody, tosca = limited(), hall.add_event(gated=False).open()
    alice, bob = (sign_up(anybody.client, name) for name in ("alice", "bob"))
    assert book(bob, tosca, seats=["1-1"]).status_code == 201
    late = [book(alice, tosca, seats=["1-1"]) for _ in range(7)]
    assert {(a.status_code, a.json["conflict_reason"]) for a in late} == {(409, "seats_taken")}
    got = [book(alice, tosca, seats=[f"1-{n}"]) for n in (2, 3, 4, 5, 6, 7)]
    assert [answer.status_code for answer in got] == [201] * 5 + [429]
    assert [answer.headers["RateLimit-Remaining"] for answer in got[:5]] == list("43210")


@pytest.mark.faults("H3")
def test_bookings_that_are_refused_have_a_limit_of_their_own_and_count_for_the_address(
    limited: Callable[..., Caller], hall: Sale
) -> None:
    limits = "book.account_refused=3 per hour, book.address=5 per hour"
    anybody, tosca = limited(LIMITS=limits), hall.add_event(gated=False).open()
    alice, bob = (sign_up(anybody.client, name) for name in ("alice", "bob"))
    unknown = [book(alice, tosca, seats=["9-99"]).status_code for _ in range(4)]
    assert 429 not in unknown[:3]
    assert unknown[3] == 429
    assert [book(bob, tosca).status_code for _ in range(2)] == [201, 429]


def test_an_event_is_asked_for_a_thousand_times_a_second(
    limited: Callable[..., Caller], tosca: Sale
) -> None:
    anybody = limited(LIMITS="event.event=2 per hour")
    statuses = [anybody.get(f"{tosca.path}/availability").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert anybody.get("/v1/events").status_code == 200


@pytest.mark.parametrize("redis_is_there", [True, False])
def test_what_an_address_is_refused_takes_nothing_from_the_event(
    limited: Callable[..., Caller],
    tosca: Sale,
    monkeypatch: pytest.MonkeyPatch,
    redis_is_there: bool,
) -> None:
    few = {"LIMITS": "event.event=4 per hour, read.address=1 per hour"}
    anybody = limited(**few)
    if not redis_is_there:
        monkeypatch.setenv("CACHE_URL", f"redis://127.0.0.1:{free_port()}/1")
        settings.cache_clear()
        anybody = Caller(create_app().test_client())
    for _ in range(5):
        anybody.get(tosca.path)
    addresses = [f"192.0.2.{n}" for n in range(9, 13)]
    asked = [anybody.get(tosca.path, environ_base={"REMOTE_ADDR": each}) for each in addresses]
    assert [answer.status_code for answer in asked] == [200, 200, 200, 429]


def test_all_limits_of_a_request_take_one_round_trip(
    limited: Callable[..., Caller], tosca: Sale
) -> None:
    anybody = limited()
    alice, bob = (sign_up(anybody.client, name) for name in ("alice", "bob"))
    with redis.Redis.from_url(settings().cache_url) as counts:

        def asked() -> int:
            return int(counts.info("commandstats")["cmdstat_evalsha"]["calls"])

        tosca.join(alice)  # the script is sent
        before = asked()
        assert tosca.join(bob).status_code == 201
        assert asked() - before == 1
        names = {b":".join(key.split(b":")[1:3]) for key in counts.scan_iter("usher:*")}
        assert names >= {b"join:address", b"join:account", b"event:event"}


def test_limits_can_be_changed_and_switched_off_one_by_one(
    limited: Callable[..., Caller],
) -> None:
    table = parse_table("book.account=20 per hour, read.address=off")
    assert [limit.amount for limit in table["book"]["account"]] == [20]
    assert table["read"]["address"] == []
    assert table["cancel"]["account"][0].amount == 10


@pytest.mark.parametrize(
    "wrong", ["book.account", "book=3 per minute", "boko.account=1 per minute", "book.account=few"]
)
def test_a_wrong_change_of_limits_is_said(configured: dict[str, str], wrong: str) -> None:
    with pytest.raises(SettingsError, match="LIMITS"):
        parse_table(wrong)


def test_the_table_has_the_defaults_that_were_asked_for() -> None:
    assert TABLE["book"]["account"] == "5 per minute"
    assert TABLE["book"]["address"] == "600 per minute"
    assert TABLE["cancel"]["account"] == "10 per minute"
    assert TABLE["position"]["account"] == "60 per minute"
    assert TABLE["event"] == {"event": "1000 per second", "hot_event": "10000 per second"}


def guess(anybody: Caller, address: str, email: str = "alice@example.org") -> Answer:
    return anybody.post(
        "/v1/tokens",
        {"email": email, "password": "not the right one"},
        environ_base={"REMOTE_ADDR": address},
    )


@pytest.mark.slow
@pytest.mark.faults("guessing")
def test_guesses_for_a_mailbox_are_limited_and_its_owner_still_signs_in(
    limited: Callable[..., Caller],
) -> None:
    anybody = limited()
    right = {"email": "alice@example.org", "password": "correct horse"}
    assert anybody.post("/v1/accounts", right | {"name": "Alice"}).status_code == 201
    guessed = [guess(anybody, "192.0.2.1", "Alice@Example.org").status_code for _ in range(11)]
    assert guessed == [401] * 10 + [429]
    own = anybody.post("/v1/tokens", right, environ_base={"REMOTE_ADDR": "192.0.2.2"})
    assert own.status_code == 201
    code = anybody.post("/v1/tokens", {"email": "alice@example.org"})
    assert code.status_code == 202


@pytest.mark.faults("wrong passwords")
def test_an_address_that_sent_some_wrong_passwords_is_not_preferred(
    limited: Callable[..., Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From however many addresses a flood comes, others sign in beside it."""
    anybody = limited()
    right = {"email": "alice@example.org", "password": "correct horse"}
    assert anybody.post("/v1/accounts", right | {"name": "Alice"}).status_code == 201
    assert {guess(anybody, "192.0.2.1", f"{n}@example.org").status_code for n in range(5)} == {401}
    monkeypatch.setattr("web.support.passwords.PATIENCE", 0.01)
    with hashing("192.0.2.9", OTHERS):
        statuses = [
            anybody.post("/v1/tokens", right, environ_base={"REMOTE_ADDR": address}).status_code
            for address in ("192.0.2.1", "192.0.2.2")
        ]
    assert statuses == [503, 201]


@pytest.mark.faults("wrong passwords")
def test_an_address_that_sent_many_wrong_passwords_has_no_more_of_them_checked(
    limited: Callable[..., Caller],
) -> None:
    """Each costs a hash, and made-up mailboxes have no limit. Right ones are not counted."""
    anybody = limited(LIMITS="password.wrong_at_address=3 per 15 minutes")
    right = {"email": "alice@example.org", "password": "correct horse"}
    assert anybody.post("/v1/accounts", right | {"name": "Alice"}).status_code == 201
    here, elsewhere = ({"environ_base": {"REMOTE_ADDR": f"192.0.2.{n}"}} for n in (1, 2))
    for _ in range(5):
        assert anybody.post("/v1/tokens", right, **here).status_code == 201
    guessed = [guess(anybody, "192.0.2.1", f"{n}@example.org").status_code for n in range(4)]
    assert guessed == [401, 401, 401, 429]
    refused = anybody.post("/v1/tokens", right, **here)
    assert (refused.status_code, "your address" in refused.json["detail"]) == (429, True)
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert anybody.post("/v1/tokens", right, **elsewhere).status_code == 201
    assert anybody.post("/v1/tokens", {"email": right["email"]}, **here).status_code == 202


def test_limits_need_no_setting_behind_a_proxy(configured: dict[str, str]) -> None:
    def read(**more: str) -> Settings:
        without = {k: v for k, v in configured.items() if k != "RATE_LIMITS"}
        return read_settings(without | more)

    assert read(TRUSTED_PROXIES="1").rate_limits == "on"
    assert read().rate_limits == "off"


HONEST = (
    ["sign_up", "join", "leave", "book"]
    + ["position"] * 40
    + ["entry"] * 10
    + ["pay", "pay", "cancel"]
    + ["read"] * 40
)
"""What a quick buyer asks within one minute, who changes the wish once and has a card declined."""


@pytest.mark.slow
@pytest.mark.faults("an honest crowd")
def test_an_honest_crowd_feels_none_of_it(limited: Callable[..., Caller]) -> None:
    """3,000 buyers within the same minute from 300 addresses, 400 of them behind one: the demo's
    crowd, which `make demo` sends through the proxy with limits on."""
    addresses = addresses_of(3000)
    table = limited().client.application.extensions["rate_limits"].table
    each, behind_one = Counter(HONEST), max(Counter(addresses).values())
    assert (len(set(addresses)), behind_one) == (300, 400)
    by_account = [
        f"{kind}: {limit}"
        for kind, times in each.items()
        for limit in table[kind].get("account", ())
        if times > limit.amount
    ]
    by_address = [
        f"{kind}: {limit}"
        for kind, times in each.items()
        for limit in table[kind]["address"]
        if times * behind_one > limit.amount
    ]
    assert by_account + by_address == []
    assert behind_one <= settings().live_streams_per_address
