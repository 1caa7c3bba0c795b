"""The live process: streams of server-sent events. `python -m web.live.server`

    GET /v1/events/{event}/queue/stream               position …, then turn
    GET /v1/events/{event}/bookings/{booking}/stream  booking …

Requests carry a buyer's token or a queue token as a bearer token. Browsers' EventSource cannot send
headers, so a session's cookie will do, and a queue token, which only allows reading, may also be
given as ?ticket=. One process has thousands of streams and reads the database once a second for all
of them (web/live/streams.py).
"""

import asyncio
import contextlib
import json
import logging
import resource
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from uuid import UUID

import jwt
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from db.accounts import api_keys
from db.runtime.errors import NotAllowed, NotSignedIn
from db.runtime.logs import configure_logs
from db.runtime.settings import settings
from db.runtime.startup import say_if_postgres_is_away
from web.live.idle_connections import Connections
from web.live.streams import BookingStream, Hub, QueueStream, Stream
from web.queue.tokens import QueueToken, read_queue_token
from web.support import headers
from web.support.auth import token_in
from web.support.client_address import forwarded_address
from web.support.cookies import cookie_in, read_cookie
from web.support.fields import BIGGEST_ID
from web.support.metrics import FORWARDED, may_scrape
from web.support.sessions import Session, read_token

FIRST_LOOK_TIMEOUT = 2.5
"""Seconds to wait for the first reading: two polls."""
MOST_PER_BUYER = 10
SEND_BUFFER = 16 * 2**10
"""Bytes that the kernel buffers for a reader; its default is megabytes."""
SHUTDOWN = 3.0  # seconds
SPARE_FILES = 100

HUB = web.AppKey("hub", Hub)
CONNECTIONS = web.AppKey("connections", Connections)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


def problem(request: web.Request, status: int, detail: str) -> web.Response:
    """A problem (RFC 9457), like those that web/support/errors.py makes for Flask."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": request.headers.get("X-Request-Id", secrets.token_hex(12))[:128],
    }
    more = {}
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        body["retry_after"] = 5
        more["Retry-After"] = "5"
    return web.Response(
        status=status,
        headers=more,
        text=json.dumps(body),
        content_type="application/problem+json",
    )


@web.middleware
async def note_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    connections, transport = request.app[CONNECTIONS], request.transport
    connections.begin(request)
    try:
        return await handler(request)
    finally:
        connections.end(transport)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except NotSignedIn as error:
        return problem(request, 401, str(error))
    except NotAllowed as error:
        return problem(request, 403, str(error))
    except web.HTTPException as error:
        answer = problem(request, error.status, error.text or error.reason)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


def event_in(request: web.Request) -> int:
    event_id = int(request.match_info["event"])
    if not 0 < event_id <= BIGGEST_ID:
        raise web.HTTPNotFound
    return event_id


def read_viewer(request: web.Request, event_id: int) -> QueueToken | Session:
    """Who looks: a queue token, or a buyer's session. Errors: NotSignedIn, NotAllowed."""
    if given := request.query.get("ticket"):
        return read_queue_token(given, event_id)
    token = token_in(request.headers.get("Authorization", ""))
    if token.startswith(api_keys.PREFIX):
        raise NotAllowed("Only buyers can do this, not API keys.")
    if token:
        try:
            session = read_token(token)
        except NotSignedIn:
            return read_queue_token(token, event_id)
    else:
        session = read_session_of_cookie(request)
    request.app[HUB].ended.refuse_ended(session)
    if session.organisation_id is not None:
        raise NotAllowed("Only buyers can do this: this session is an organisation's.")
    return session


def read_session_of_cookie(request: web.Request) -> Session:
    """The session of a browser, whose cookie the web processes renew. Errors: NotSignedIn."""
    try:
        session, is_fresh = read_cookie(cookie_in(request.headers.get("Cookie", "")))
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise NotSignedIn from error
    if not is_fresh:
        raise NotSignedIn("This cookie is due to be renewed: get /v1/me/session first.")
    return session


async def stream_queue(request: web.Request) -> web.StreamResponse:
    """Your place in the queue, then your turn."""
    event_id = event_in(request)
    viewer = read_viewer(request, event_id)
    if isinstance(viewer, QueueToken):
        stream = QueueStream(event_id, viewer.buyer_id, entry_id=viewer.entry_id)
    else:
        stream = QueueStream(event_id, viewer.account_id, session=viewer)
    return await carry(request, stream, has_queue_token=isinstance(viewer, QueueToken))


async def stream_booking(request: web.Request) -> web.StreamResponse:
    """The states of your booking and its payment."""
    event_id = event_in(request)
    viewer = read_viewer(request, event_id)
    booking_id = UUID(request.match_info["booking"])
    if isinstance(viewer, QueueToken):
        stream = BookingStream(event_id, viewer.buyer_id, booking_id=booking_id)
    else:
        stream = BookingStream(event_id, viewer.account_id, session=viewer, booking_id=booking_id)
    return await carry(request, stream, has_queue_token=isinstance(viewer, QueueToken))


async def carry(
    request: web.Request, stream: Stream, *, has_queue_token: bool
) -> web.StreamResponse:
    """Send the stream until it ends. 404: there is no such subject. 204: the client has seen
    everything; an EventSource then stops reconnecting."""
    hub = request.app[HUB]
    stream.address = forwarded_address(
        request.headers.get("X-Forwarded-For", ""), request.remote or "", settings().trusted_proxies
    )
    refuse_too_many(hub, stream)
    stream.seen = request.headers.get("Last-Event-ID", "")
    hub.add(stream)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stream.known.wait(), FIRST_LOOK_TIMEOUT)
        if stream.missing:
            raise web.HTTPNotFound(text="It does not exist, or it is not yours.")
        if stream.is_over():
            return web.Response(status=204)
        # A browser does not come back after an error: with a queue token it waits here instead.
        if not stream.known.is_set() and not has_queue_token:
            raise web.HTTPServiceUnavailable(text="The database cannot be reached.")
        limit_buffer(request)
        await stream.begin(request)
        await stream.tell(hub.boards.get(stream.event_id))
        await stream.ended.wait()
        assert stream.response is not None
        return stream.response
    finally:
        hub.remove(stream)


def refuse_too_many(hub: Hub, stream: Stream) -> None:
    if len(hub) >= settings().live_streams:
        raise web.HTTPServiceUnavailable(text="Too many streams: poll, or try again shortly.")
    if hub.by_buyer[stream.buyer_id] >= MOST_PER_BUYER:
        raise web.HTTPTooManyRequests(text=f"You already have {MOST_PER_BUYER} open streams.")
    most = settings().live_streams_per_address
    if settings().rate_limits == "on" and hub.by_address[stream.address] >= most:
        raise web.HTTPTooManyRequests(text="Your address has too many open streams: poll.")


def limit_buffer(request: web.Request) -> None:
    if request.transport is not None:
        reader = request.transport.get_extra_info("socket")
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


async def get_health(request: web.Request) -> web.Response:
    """Answer 200 as long as the process runs."""
    return web.json_response({"alive": True})


async def get_readiness(request: web.Request) -> web.Response:
    """Ready when the last poll could read the database."""
    if not request.app[HUB].is_well():
        return problem(request, 503, "The database cannot be reached.")
    return web.json_response({"ready": True})


class HubGauges(Collector):
    """The present state of the streams."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        streams = GaugeMetricFamily("usher_live_streams", "Open streams", labels=["of"])
        streams.add_metric(["queue"], len(self._hub.queues))
        streams.add_metric(["booking"], len(self._hub.bookings))
        yield streams
        yield GaugeMetricFamily(
            "usher_live_poll_seconds", "How long the last poll took", value=self._hub.poll_took
        )
        yield GaugeMetricFamily(
            "usher_live_up", "Whether the last poll read the database", value=self._hub.is_well()
        )


async def get_metrics(request: web.Request) -> web.Response:
    forwarded = any(name in request.headers for name in FORWARDED)
    if not may_scrape(request.headers.get("Authorization", ""), request.remote, forwarded):
        raise web.HTTPNotFound
    registry = CollectorRegistry()
    registry.register(HubGauges(request.app[HUB]))
    return web.Response(
        body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


UUID_IN_PATH = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"


async def allow_other_sites(request: web.Request, response: web.StreamResponse) -> None:
    """Let pages of other origins read streams with a queue token. That is safe: the
    token alone identifies the reader then, and no page may read an answer to a cookie."""
    if "ticket" in request.query:
        response.headers["Access-Control-Allow-Origin"] = "*"


async def protect_answer(request: web.Request, response: web.StreamResponse) -> None:
    """Say what the web processes say in all their answers."""
    for name, value in headers.LIVE.items():
        response.headers.setdefault(name, value)


def create_app(hub: Hub) -> web.Application:
    app = web.Application(middlewares=[note_request, answer_errors])
    app[HUB] = hub
    app[CONNECTIONS] = Connections()
    app.on_response_prepare.append(allow_other_sites)
    app.on_response_prepare.append(protect_answer)
    event = r"/v1/events/{event:[1-9][0-9]{0,18}}"
    booking = f"{event}/bookings/{{booking:{UUID_IN_PATH}}}"
    app.add_routes(
        [
            web.get(f"{event}/queue/stream", stream_queue, allow_head=False),
            web.get(f"{booking}/stream", stream_booking, allow_head=False),
            web.get("/healthz", get_health),
            web.get("/readyz", get_readiness),
            web.get("/metrics", get_metrics),
        ]
    )
    return app


def is_own_error(record: logging.LogRecord) -> bool:
    """Whether a record is about an error of this process. Requests that cannot be read would fill
    the log, each with a traceback: their senders are told."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def serve(stop: asyncio.Event) -> None:
    """Listen until told to stop, then end all streams within seconds."""
    hub = Hub()
    app = create_app(hub)
    logging.getLogger("aiohttp.server").addFilter(is_own_error)
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN
    )
    await runner.setup()
    host, _, port = settings().live_bind.rpartition(":")
    site = web.TCPSite(runner, host, int(port), backlog=1024, reuse_port=True)
    await site.start()
    assert runner.server is not None
    closing = asyncio.create_task(app[CONNECTIONS].close_slow_ones(runner.server))
    polling, stopping = asyncio.create_task(hub.run()), asyncio.create_task(stop.wait())
    log.info("listening", bind=settings().live_bind)
    done, _ = await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
    polling.cancel()
    closing.cancel()
    await site.stop()
    await hub.end()
    await runner.cleanup()
    if polling in done:
        polling.result()  # raises its error: polling never ends by itself


def allow_files(wanted: int) -> None:
    """Raise the limit of open files to the number of streams, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("open files limit too low for LIVE_STREAMS", allowed=most, wanted=wanted)


async def run() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(stop)


def main() -> None:
    configure_logs("live")
    allow_files(settings().live_streams + SPARE_FILES)
    say_if_postgres_is_away()
    asyncio.run(run())


if __name__ == "__main__":
    main()
