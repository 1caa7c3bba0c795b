"""The live process: a process of its own, listened to over real connections."""

import asyncio
import json
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import requests
from aiohttp import web

from db.connections import Conn, one
from ops.local.servers import free_port
from tests.support.databases import Servers
from tests.support.listening import Live, answers, listening
from tests.support.theatre import Theatre, build_theatre
from tests.support.waiting import wait_until
from tests.support.world import Caller, Sale
from web.live.idle_connections import SLOWEST
from web.live.server import HUB, create_app
from web.live.streams import HEARTBEAT, MOST_UNSENT, Hub, QueueStream
from web.queue.tokens import QueueToken, sign_queue_token

CROWD = 2000


def status(live: Live, path: str, **who: str) -> int:
    with listening(live, path, **who) as listener:
        return listener.response.status_code


def stream_of(sale: Sale) -> str:
    return f"{sale.path}/queue/stream"


# ---- The queue ----------------------------------------------------------------------------------


def test_it_tells_the_place_then_the_turn(
    live: Live, tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    tosca.join(alice)
    ticket = tosca.join(bob).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        headers = listener.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert (headers["X-Accel-Buffering"], headers["Cache-Control"]) == ("no", "no-store")
        first = listener.next()
        assert first.name == "position"
        wanted = {"number": 2, "ahead": 1, "now_serving": 0, "state": "waiting", "sale": "open"}
        assert first.data == wanted | {"estimated_wait_s": None}
        tosca.drain(conn)
        turn = listener.next(lambda event: event.name == "turn")
        assert (turn.data["state"], turn.data["reason"]) == ("booked", None)
        assert bob.get(f"{tosca.path}/bookings/{turn.data['booking_id']}").status_code == 200
        assert listener.read() is None


@pytest.mark.faults("headers")
@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/v1/events/1/queue/stream"])
def test_its_answers_have_the_headers_of_all_others(live: Live, path: str) -> None:
    answer = requests.get(live.url + path, timeout=10)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_whoever_comes_nearer_is_told(live: Live, tosca: Sale, alice: Caller, bob: Caller) -> None:
    entry = tosca.join(alice).json
    ticket = tosca.join(bob).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        assert listener.next().data["ahead"] == 1
        alice.delete(entry["links"]["self"])
        assert listener.next().data["ahead"] == 0


def test_a_buyers_token_finds_the_entry(
    live: Live, tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    """The one that waits, not one that was left before."""
    alice.delete(tosca.join(alice).json["links"]["self"])
    tosca.join(alice)
    with listening(live, stream_of(tosca), token=alice.token or "") as listener:
        assert listener.next().data["number"] == 2
    assert status(live, stream_of(tosca), token=bob.token or "") == 404


def test_a_token_that_was_ended_opens_no_stream(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    """Once the process has read of it."""
    tosca.join(alice)
    with listening(live, stream_of(tosca), token=alice.token or "") as listener:
        assert listener.next().data["number"] == 1
    end = "UPDATE sessions SET ended_at = clock_timestamp() WHERE account_id = %s"
    conn.execute(end, [alice.id])
    wait_until(lambda: status(live, stream_of(tosca), token=alice.token or "") == 401, 20)


def test_a_page_of_another_origin_may_listen_with_a_ticket(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    """And is told what is wrong, or that all is over. Whoever signs in needs no such thing."""
    allowed = "Access-Control-Allow-Origin"
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        assert listener.response.headers[allowed] == "*"
        tosca.drain(conn)
        last = listener.next(lambda event: event.name == "turn").id
    for path, wanted, seen in (
        (stream_of(tosca), 204, last),
        ("/v1/events/999/queue/stream", 401, ""),
    ):
        with listening(live, path, ticket=ticket, last_id=seen) as listener:
            assert listener.response.status_code == wanted
            assert listener.response.headers[allowed] == "*"
    with listening(live, stream_of(tosca), token=alice.token or "") as listener:
        assert allowed not in listener.response.headers


def test_who_sends_no_whole_request_is_cut_off(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    """After ten seconds, and who listens is not."""
    ticket = tosca.join(alice).json["ticket"]
    with (
        listening(live, stream_of(tosca), ticket=ticket) as listener,
        socket.create_connection(("127.0.0.1", live.port), timeout=20) as slow,
    ):
        began = time.monotonic()
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert slow.recv(1) == b""
        assert time.monotonic() - began > SLOWEST - 1
        tosca.drain(conn)
        assert listener.next(lambda event: event.name == "turn").data["state"] == "booked"


def test_a_turn_that_came_meanwhile_is_not_missed(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        seen = listener.next().id
    tosca.drain(conn)
    with listening(live, stream_of(tosca), ticket=ticket, last_id=seen) as listener:
        turn = listener.next()
        assert turn.name == "turn"
    assert status(live, stream_of(tosca), ticket=ticket, last_id=turn.id) == 204


def test_what_was_seen_is_not_told_again(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        seen = listener.next().id
    with listening(live, stream_of(tosca), ticket=ticket, last_id=seen) as listener:
        assert listener.next(lambda event: event.retry).name == ""  # it has begun
        alice.delete(f"{tosca.path}/queue/{seen.split(':')[1]}")
        tosca.join(alice)  # so that the number is called
        tosca.drain(conn)
        assert listener.next().data["state"] == "left"


def test_an_admitted_entry_is_followed_to_its_end(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        listener.next()
        conn.execute("update lane_state set now_serving = 1")
        conn.execute(
            "update entries set admission = true, state = 'admitted', pass_state = 'offered',"
            " pass_until = now() + interval '1 minute'"
        )
        turn = listener.next(lambda event: event.name == "turn").data
        assert (turn["state"], turn["pass_state"]) == ("admitted", "offered")
        conn.execute("update entries set pass_state = 'missed'")
        assert listener.next().data["pass_state"] == "missed"
        conn.execute(
            "update entries set state = 'lapsed', decided_at = now(), pass_state = null,"
            " pass_until = null"
        )
        assert listener.next().data["state"] == "lapsed"
        assert listener.read() is None


def test_the_end_of_the_sale_is_told_to_all(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        listener.next()
        tosca.opera.post(f"{tosca.path}/close")
        tosca.drain(conn)
        turn = listener.next(lambda event: event.name == "turn")
        assert (turn.data["state"], turn.data["reason"]) == ("unavailable", "sale_over")


def test_strangers_are_refused(live: Live, tosca: Sale, alice: Caller, bob: Caller) -> None:
    ticket = tosca.join(alice).json["ticket"]
    path = stream_of(tosca)
    assert status(live, path) == 401
    assert status(live, path, token="nonsense") == 401
    assert status(live, path, ticket=alice.token or "") == 401  # a token does not go into a URL
    assert status(live, "/v1/events/999/queue/stream", ticket=ticket) == 401
    assert status(live, path, token=tosca.opera.token or "") == 403
    assert status(live, f"/v1/events/{10**18 * 9}9/queue/stream", ticket=ticket) == 404
    refused = requests.post(f"{live.url}{path}", timeout=5)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET")
    assert refused.headers["Content-Type"].startswith("application/problem+json")


def test_a_buyer_has_few_streams(live: Live, tosca: Sale, alice: Caller) -> None:
    ticket = tosca.join(alice).json["ticket"]
    url = f"{live.url}{stream_of(tosca)}?ticket={ticket}"
    with ThreadPoolExecutor() as pool:  # each begins after the next poll
        open_ones = list(pool.map(lambda _: requests.get(url, stream=True, timeout=10), range(10)))
    assert {answer.status_code for answer in open_ones} == {200}
    assert status(live, stream_of(tosca), ticket=ticket) == 429
    open_ones.pop().close()
    wait_until(lambda: status(live, stream_of(tosca), ticket=ticket) == 200)
    for answer in open_ones:
        answer.close()
    metrics = f"{live.url}/metrics"
    none = 'usher_live_streams{of="queue"} 0.0'
    wait_until(lambda: none in requests.get(metrics, timeout=5).text)


# ---- Bookings -----------------------------------------------------------------------------------


def test_it_tells_how_a_booking_goes_on(
    live: Live, tosca: Sale, alice: Caller, bob: Caller, conn: Conn
) -> None:
    joined = tosca.join(alice).json
    tosca.drain(conn)
    booking = alice.get(joined["links"]["self"]).json["booking_id"]
    path = f"{tosca.path}/bookings/{booking}"
    with listening(live, f"{path}/stream", ticket=joined["ticket"]) as listener:
        assert listener.next().data == {
            "id": booking, "state": "held", "reason": None, "payment_state": None
        }  # fmt: skip
        alice.post(f"{path}/payment", {"payment_method": "pm_card_visa"}, key="pay")
        paying = listener.next().data
        assert (paying["state"], paying["payment_state"]) == ("authorising", "intended")
        alice.delete(path)
        assert listener.next().data["state"] == "expiring"
    assert status(live, f"{path}/stream", token=bob.token or "") == 404
    assert status(live, f"{tosca.path}/bookings/{uuid4()}/stream", token=alice.token or "") == 404


def test_a_booking_that_is_settled_ends_its_stream(
    live: Live, tosca: Sale, alice: Caller, conn: Conn
) -> None:
    booking = tosca.book(alice, conn)
    path = f"{tosca.path}/bookings/{booking['id']}"
    with listening(live, f"{path}/stream", token=alice.token or "") as listener:
        listener.next()
        alice.delete(path)
        last = listener.next()
        assert last.data["state"] == "cancelled"
        assert listener.read() is None
    assert status(live, f"{path}/stream", token=alice.token or "", last_id=last.id) == 204


# ---- Trouble ------------------------------------------------------------------------------------


@contextmanager
def away(servers: Servers, database_url: str) -> Iterator[None]:
    """The database lets nobody in, and throws out who is."""
    name = database_url.rpartition("/")[2]
    with psycopg.connect(servers.admin_url, autocommit=True) as admin:
        admin.execute(f"alter database {name} allow_connections false".encode())
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )
        try:
            yield
        finally:
            admin.execute(f"alter database {name} allow_connections true".encode())


def test_streams_outlive_the_database(
    live: Live, tosca: Sale, alice: Caller, servers: Servers, database_url: str
) -> None:
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        seen = listener.next().id
        with away(servers, database_url):
            told = listener.next(lambda event: event.comment)
            assert (told.comment, told.retry) == ("no news for now", 5000)
            wait_until(lambda: not answers(f"{live.url}/readyz"), 20)
            assert status(live, stream_of(tosca), token=alice.token or "") == 503
            with listening(live, stream_of(tosca), ticket=ticket, last_id=seen) as patient:
                assert patient.response.status_code == 200
                assert patient.next(lambda event: event.retry)
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute("update entries set state = 'left', decided_at = now()")
            conn.execute("update lane_state set now_serving = 1")
        assert listener.next(lambda event: event.name == "turn").data["state"] == "left"


def test_sigterm_sends_all_away(live: Live, tosca: Sale, alice: Caller) -> None:
    ticket = tosca.join(alice).json["ticket"]
    with listening(live, stream_of(tosca), ticket=ticket) as listener:
        listener.next()
        live.process.send_signal(signal.SIGTERM)
        assert 500 <= listener.next(lambda event: event.retry).retry <= 5000
        assert listener.read() is None
        assert live.process.wait(timeout=5) == 0


def in_one_loop(
    work: Callable[[Hub, int], Coroutine[Any, Any, None]],
) -> None:
    """Serve streams in this process, whose insides can be looked at then; work(hub, port)."""

    async def run() -> None:
        hub, port = Hub(), free_port()
        runner = web.AppRunner(create_app(hub), access_log=None, handler_cancellation=True)
        await runner.setup()
        assert runner.app[HUB] is hub
        await web.TCPSite(runner, "127.0.0.1", port).start()
        polling = asyncio.create_task(hub.run())
        try:
            await asyncio.wait_for(work(hub, port), 30)
        finally:
            polling.cancel()
            await hub.end()
            await runner.cleanup()

    asyncio.run(run())


def request_of(sale: Sale, ticket: str) -> bytes:
    return f"GET {stream_of(sale)}?ticket={ticket} HTTP/1.1\r\nHost: live\r\n\r\n".encode()


async def first_stream(hub: Hub) -> QueueStream:
    """As soon as one has begun."""
    while True:
        for stream in hub.queues:
            if stream.response is not None and stream.seen:
                return stream
        await asyncio.sleep(0.01)


def test_a_slow_reader_is_dropped(tosca: Sale, alice: Caller) -> None:
    ticket = tosca.join(alice).json["ticket"]

    async def never_read(hub: Hub, port: int) -> None:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", port))
            reader.sendall(request_of(tosca, ticket))
            stream = await first_stream(hub)
            sent = 0
            while not stream.ended.is_set():
                await stream.write(":" + "x" * 1000 + "\n\n")
                sent += 1003
                assert sent < 50 * MOST_UNSENT
                await asyncio.sleep(0)
            while hub.queues:
                await asyncio.sleep(0.01)

    in_one_loop(never_read)


@pytest.mark.slow
def test_silence_is_broken_by_a_heartbeat(tosca: Sale, alice: Caller) -> None:
    ticket = tosca.join(alice).json["ticket"]

    async def wait_long(hub: Hub, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_of(tosca, ticket))
        stream = await first_stream(hub)
        stream.written_at -= HEARTBEAT
        await reader.readuntil(b"\n:\n\n")
        assert time.monotonic() - stream.written_at < HEARTBEAT
        writer.close()

    in_one_loop(wait_long)


# ---- A crowd ------------------------------------------------------------------------------------


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CROWD + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Crowd:
    """Listeners of one event, in one event loop. told, turns: the last of each one's events."""

    live: Live
    event: int
    ids: list[UUID]
    told: dict[int, dict[str, Any]] = field(default_factory=dict)
    turns: dict[int, dict[str, Any]] = field(default_factory=dict)

    async def listen(self, number: int) -> None:
        ticket = sign_queue_token(QueueToken(self.event, self.ids[number - 1], number, number))
        path = f"/v1/events/{self.event}/queue/stream"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.live.port)
        head = f"GET {path} HTTP/1.1\r\nHost: live\r\nAuthorization: Bearer {ticket}\r\n\r\n"
        writer.write(head.encode())
        while (line := await reader.readline()) != b"0\r\n":
            assert line, "cut off"
            if line.startswith(b"event:"):
                kind = self.turns if b"turn" in line else self.told
            if line.startswith(b"data:"):
                kind[number] = json.loads(line[5:])
        writer.close()


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def commits(conn: Conn) -> int:
    query = "select xact_commit from pg_stat_database where datname = current_database()"
    return int(one(conn.execute(query))["xact_commit"])


@pytest.mark.system
@pytest.mark.usefixtures("many_files")
def test_thousands_listen_to_one_process(
    live: Live, conn: Conn, capsys: pytest.CaptureFixture[str]
) -> None:
    """They cost the database three statements a second on one connection, whatever their number."""
    theatre = build_theatre(conn, {1: ["." * 10] * 10})
    theatre.enter_many(CROWD)
    rows = conn.execute("select id from entries order by number").fetchall()
    crowd = Crowd(live, theatre.event, [row["id"] for row in rows])
    empty = live.memory()

    async def run() -> None:
        listeners = asyncio.gather(*(crowd.listen(n) for n in range(1, CROWD + 1)))
        await until(lambda: len(crowd.told) == CROWD or listeners.done())
        assert {n: told["ahead"] for n, told in crowd.told.items()} == {
            n: n - 1 for n in range(1, CROWD + 1)
        }
        per_stream = (live.memory() - empty) / CROWD
        began, cpu, statements = time.monotonic(), live.cpu(), commits(conn)
        await until(lambda: time.monotonic() - began > 3)
        idle = (live.cpu() - cpu) / (time.monotonic() - began)
        rate = (commits(conn) - statements) / (time.monotonic() - began)
        cpu = live.cpu()
        await asyncio.to_thread(decide_all, theatre)
        await asyncio.wait_for(listeners, 60)
        with capsys.disabled():
            sys.stdout.write(
                f"\n  {CROWD} streams: {per_stream / 1024:.0f} KiB each, {idle:.3f} s CPU/s at"
                f" rest, {rate:.1f} statements/s, {live.cpu() - cpu:.2f} s CPU to tell all turns\n"
            )
        assert per_stream < 100 * 1024
        assert idle < 0.8
        assert rate < 10

    asyncio.run(run())
    assert {n for n, turn in crowd.turns.items() if turn["state"] == "booked"} == set(range(1, 101))
    assert len(crowd.turns) == CROWD
    query = "select count(*) as n from pg_stat_activity where application_name = 'usher live'"
    assert one(conn.execute(query))["n"] == 1


def decide_all(theatre: Theatre) -> None:
    """A hundred get seats, which they pay; the others are told that there are none."""
    theatre.drain(100)
    for number in range(1, 101):
        theatre.confirm(theatre.booking_of(number))
    theatre.drain(CROWD)
