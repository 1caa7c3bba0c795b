"""Apps with limits on."""

from collections.abc import Callable

import pytest
import redis

from db.runtime.settings import settings
from tests.support.world import Caller
from web.app import create_app


@pytest.fixture
def limited(configured: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Caller]:
    """Make an app with limits, and call it: limited(LIMITS="…")."""

    def start(**changes: str) -> Caller:
        monkeypatch.setenv("RATE_LIMITS", "on")
        # A database of its own for each test: counts of others are not ours.
        monkeypatch.setenv("CACHE_URL", configured["REDIS_URL"].replace("/0", "/1"))
        for name, value in changes.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        with redis.Redis.from_url(settings().cache_url) as counts:
            for key in counts.scan_iter("usher:*"):
                counts.delete(key)
        return Caller(create_app().test_client())

    return start
