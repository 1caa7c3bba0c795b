"""What all crowds share: their HTTP client, and who of them has a connection next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from ops.crowd.api import COMING, HOLDING, JOINING, LOOKING, Api, Asked, Places, Unexpected
from ops.crowd.client import Broken, Client, read_response

FOUND = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"id":7}'
IN_CHUNKS = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
    b'4;x=y\r\n{"id\r\n4\r\n":7}\r\n0\r\n\r\n'
)
EMPTY = b"HTTP/1.1 204 NO CONTENT\r\nServer: x\r\n\r\n"
LAST = FOUND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
BUSY = b"HTTP/1.1 503 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Answers request after request with the bytes it is given; "" cuts the connection."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.connections = 0
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer):
            while head := await self._read(reader):
                self.heads.append(head)
                answer = self.answers.pop(0)
                if not answer:
                    return
                for cut in (answer[:20], answer[20:]):
                    writer.write(cut)
                    await writer.drain()
                    await asyncio.sleep(0)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        if b"Content-Length: 13" in head:
            head += await reader.readexactly(13)
        return head


@pytest.mark.parametrize(
    ("answer", "body"), [(FOUND, b'{"id":7}'), (IN_CHUNKS, b'{"id":7}'), (EMPTY, b"")]
)
def test_an_answer_is_read_when_it_is_whole_and_not_before(answer: bytes, body: bytes) -> None:
    assert [read_response(answer[:n]) for n in range(len(answer))] == [None] * len(answer)
    response = read_response(answer)
    assert response is not None
    assert response.body == body


def test_names_of_headers_are_found_however_they_are_written() -> None:
    response = read_response(b"HTTP/1.1 304 X\r\nCACHE-control:  max-age=2 \r\n\r\n")
    assert response is not None
    assert response.headers["cache-control"] == "max-age=2"


def test_a_connection_is_kept_until_its_server_closes_it() -> None:
    async def talk() -> None:
        async with Server(FOUND, IN_CHUNKS, LAST, FOUND).running() as server:
            with closing(Client(server.url)) as client:
                for _ in range(3):
                    assert (await client.ask("GET", "/a?b=c", {"X-Y": "z"})).body == b'{"id":7}'
                assert server.connections == 1
                await client.ask("GET", "/", {})
                assert server.connections == 2
            assert server.heads[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:")
            assert b"\r\nX-Y: z\r\n" in server.heads[0]

    asyncio.run(talk())


@pytest.mark.parametrize("answer", [b"", b"no answer at all\r\n\r\n", b"HTTP/1.1 two\r\n\r\n"])
def test_a_connection_that_breaks_is_an_error_and_is_not_used_again(answer: bytes) -> None:
    async def talk() -> None:
        async with Server(answer, FOUND).running() as server:
            with closing(Client(server.url)) as client:
                with pytest.raises(Broken):
                    await client.ask("GET", "/", {})
                assert (await client.ask("GET", "/", {})).status == 200
                assert server.connections == 2

    asyncio.run(talk())


def test_a_request_is_repeated_while_its_service_is_busy_or_cuts_it_off() -> None:
    async def talk() -> None:
        async with Server(BUSY, b"", FOUND).running() as server:
            with closing(Client(server.url)) as client:
                asked = Asked()
                api = Api(client, asked, Places(1))
                answer = await api.call("POST", "/", {"number": 17}, token="t", key="k")
                assert answer.body == {"id": 7}
                assert (asked.requests, asked.retries) == (3, 2)
                assert server.heads[0] == server.heads[2]
                assert b"Authorization: Bearer t\r\nIdempotency-Key: k\r\n" in server.heads[0]
                assert server.heads[0].endswith(b'\r\n\r\n{"number":17}')

    asyncio.run(talk())


def test_an_answer_that_is_not_expected_is_an_error() -> None:
    async def talk() -> None:
        async with Server(EMPTY).running() as server:
            with (
                closing(Client(server.url)) as client,
                pytest.raises(Unexpected, match="GET /: 204"),
            ):
                await Api(client, Asked(), Places(1)).call("GET", "/")

    asyncio.run(talk())


async def serve_in_order(places: Places, kinds: list[int]) -> list[int]:
    """Let requests of these kinds come while the only place is taken; the order they get it in."""
    order: list[int] = []

    async def ask(kind: int) -> None:
        async with places.place(kind):
            order.append(kind)
            await asyncio.sleep(0)

    async with places.place(HOLDING):
        waiting = [asyncio.create_task(ask(kind)) for kind in kinds]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    return order


def test_who_holds_seats_is_served_before_the_crowd_and_all_are_served() -> None:
    kinds = [COMING] * 40 + [JOINING] * 40 + [LOOKING] * 40 + [HOLDING] * 40
    order = asyncio.run(serve_in_order(Places(1), kinds))
    assert sorted(order) == sorted(kinds)
    first = order[:32]
    assert [first.count(kind) for kind in (HOLDING, LOOKING, JOINING, COMING)] == [16, 8, 4, 4]


def test_a_kind_that_asked_for_nothing_has_no_credit() -> None:
    async def come_later() -> list[int]:
        places = Places(1)
        await serve_in_order(places, [HOLDING, COMING] * 50)
        return await serve_in_order(places, [COMING] * 8 + [JOINING] * 8)

    assert 3 <= asyncio.run(come_later())[:8].count(COMING) <= 5


def test_a_kind_that_comes_when_no_other_waits_has_no_credit_either() -> None:
    """Sign-ups first, then joins alone, then buyers with seats beside the joins."""

    async def come_in_turn() -> list[int]:
        places = Places(1)
        await serve_in_order(places, [COMING, HOLDING] * 20 + [COMING] * 200)
        return await serve_in_order(places, [JOINING] * 40 + [HOLDING] * 40)

    assert asyncio.run(come_in_turn())[:20].count(HOLDING) >= 15


def test_a_request_that_is_given_up_leaves_its_place_to_the_next() -> None:
    async def give_up() -> list[int]:
        places = Places(1)
        async with places.place(HOLDING):
            waiting = asyncio.create_task(places._wait(HOLDING))
            await asyncio.sleep(0)
        waiting.cancel()  # it has just got its place
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await serve_in_order(places, [COMING, JOINING])

    assert len(asyncio.run(asyncio.wait_for(give_up(), 5))) == 2
