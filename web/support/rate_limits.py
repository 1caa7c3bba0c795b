"""Rate limits for expensive requests, by address. They are generous, since many people may share an
address."""

from typing import Any

import structlog
from flask import Flask, Response
from flask_limiter import Limiter, RateLimitExceeded
from werkzeug.middleware.proxy_fix import ProxyFix

from db.runtime.settings import settings
from web.support.client_address import client
from web.support.errors import problem

LIMITS = {
    "accounts.add_account": "60 per minute; 600 per hour",
    "accounts.add_token": "60 per minute; 600 per hour",
    "queue.join_queue": "300 per minute",
}
"""By endpoint."""
REDIS_TIMEOUT = 0.2  # seconds, for Redis

log = structlog.get_logger()


def limit_requests(app: Flask) -> None:
    """Limit requests; call it after the blueprints are registered. Counts are kept in Redis; while
    it is away, each process counts for itself.
    """
    if proxies := settings().trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=0)  # type: ignore[method-assign]
    if settings().rate_limits == "off":
        return
    limiter = Limiter(
        client,
        app=app,
        storage_uri=settings().cache_url,
        storage_options={"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT},  # type: ignore[dict-item]
        in_memory_fallback_enabled=True,
        key_prefix="usher",
    )
    app.register_error_handler(RateLimitExceeded, refuse)
    for endpoint, limits in LIMITS.items():
        view: Any = limiter.limit(limits)(app.view_functions[endpoint])
        app.view_functions[endpoint] = view


def refuse(error: RateLimitExceeded) -> Response:
    seconds = error.limit.limit.get_expiry() if error.limit else 60
    log.warning("too many requests", limit=str(error.description))
    answer = problem(
        429, "Too many requests come from your address: try again later.", retry_after=seconds
    )
    answer.headers["Retry-After"] = str(seconds)
    return answer
