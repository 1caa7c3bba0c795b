"""Settings: the only place that reads the environment.

A value that is missing or wrong stops the process with a sentence that says what to set.
"""

import os
import re
import sys
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from urllib.parse import urlsplit


class SettingsError(Exception):
    """A setting is missing or wrong; the message says which and what to set."""


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Times are in seconds, unless the name has another unit."""

    database_url: str
    """postgresql://… ; through a pooler, if there is one."""
    redis_url: str
    """redis://… : it only wakes workers up; all its data may be lost."""
    secret_key: str
    """Signs buyers' tokens: at least 32 characters, the same in every process. Each purpose has a
    key of its own that is derived from it."""
    stripe_api_key: str
    stripe_webhook_secret: str
    """whsec_… of the endpoint that points at /webhooks/stripe; several are separated by commas."""
    smtp_url: str
    """smtp://[user:password@]host:port, or smtps://…"""
    database_pooler: str = "off"
    """on: DATABASE_URL is a pooler in transaction mode, such as PgBouncer."""
    database_prepared: str = ""
    """on or off: whether statements are prepared. By default off behind a pooler, since PgBouncer
    follows prepared statements only from 1.21 on, and with its max_prepared_statements."""
    database_direct_url: str = ""
    """postgresql://… without the pooler, for what needs a session; by default DATABASE_URL."""
    mail_from: str = "Usher <tickets@usher.example>"
    public_url: str = "http://127.0.0.1:8000"
    """Where buyers reach this service; links in e-mails begin with it."""
    live_url: str = ""
    """Where buyers reach the live process, if not under PUBLIC_URL as with ops/deploy/nginx."""
    live_bind: str = "0.0.0.0:8001"
    """host:port at which the live process listens."""
    live_streams: int = 10_000
    """The most streams that one live process carries; each needs a file descriptor."""
    stripe_test_api_key: str = ""
    """sk_test_… of the platform, for organisations in test mode without keys of their own."""
    stripe_api_base: str = "https://api.stripe.com"
    log_level: str = "info"
    pool_size: int = 8
    """Database connections per process; at least as many as it has threads. A thread of a web
    process opens one more for itself, for the requests of a crowd."""
    drain_batch: int = 500
    """Entries decided in one transaction."""
    gateway_limit: float = 20.0
    """Calls a second to one gateway endpoint, from all processes together; Stripe allows 25. No
    more seats are held at once than can be paid at this rate within their hold time."""
    gateway_account_limit: float = 0.0
    """Calls a second to all endpoints of one gateway account. The default is four times
    GATEWAY_LIMIT, the proportion of Stripe's limits (100 and 25)."""
    saga_backlog: int = 2000
    """Payments that may wait for a worker; with more, no seats that have to be paid are held."""
    cache_url: str = ""
    """redis://… for counts of requests, which may be lost; REDIS_URL with database 1 by default."""
    secret_key_fallbacks: str = ""
    """Earlier values of SECRET_KEY, separated by commas: what they have signed is still believed.
    Remove one when its tokens have expired, after 30 days."""
    encryption_keys: str = ""
    """Keys that seal the secrets that Usher keeps: `id:base64 of 32 bytes`, separated by commas.
    The first one seals, all open. Without any nothing can be sealed, and all else works."""
    oidc_addresses: str = "public"
    """public: identity providers are asked at public addresses alone, over https. loopback, for
    tests: also on this machine."""
    rate_limits: str = ""
    """on or off; by default on if TRUSTED_PROXIES is set. Without it all requests seem to come from
    one address, the proxy's."""
    sign_up: str = "at_once"
    """at_once: who makes an account is signed in; the answer tells which addresses have one.
    by_mail: the answer is the same for all, and a code by mail signs in."""
    limits: str = ""
    """Changes to the table of limits (web/support/rate_limits.py): `book.account=20 per minute,
    read.address=off`."""
    unlimited_addresses: str = ""
    """Networks whose requests are not counted by address, such as 192.0.2.0/24, separated by
    blanks: servers of shops, which ask for many buyers."""
    metrics_token: str = ""
    """Who sends it as a bearer token sees /metrics; without it, peers of the private network that
    ask without a proxy."""
    live_streams_per_address: int = 0
    """The most streams of one address at a live process; default: a tenth of LIVE_STREAMS."""
    trusted_proxies: int = 0
    """How many proxies of this installation set X-Forwarded-For: 1 with ops/deploy/nginx. With too
    high a number clients can choose their address."""
    retention_events: int = 90
    """Days after the end of an event until its bookings and entries are archived."""
    retention_archives: int = 3650
    """Days that archives are kept, by the month of the event's end."""
    retention_log: int = 400
    """Days that the state log is kept, by month; longer while an event of that time is not
    archived."""
    retention_feed: int = 30
    """Days that messages of the feed are kept, by month: from the last of a month on."""
    retention_audit: int = 1100
    """Days that the audit log is kept."""
    retention_closed: int = 30
    """Days after an account was closed until its personal data are erased."""
    retention_inbox: int = 60
    """Days that notifications are kept; longer than the gateway repeats them."""
    retention_letters: int = 180
    """Days that dead letters are kept after they were resolved."""
    retention_emails: int = 90
    """Days that mails about no booking are kept; those of bookings are archived with them."""
    retention_holds: int = 3
    """Days that holds are kept that ended without an attempt to pay; others are archived with their
    event."""
    prometheus_multiproc_dir: str = ""
    task_pace: float = 1.0
    """Tests only: a factor for the times of leases, resends and retries of tasks."""
    dyno: str = ""
    """The name of this process, as platforms set it: web.1."""
    die_at: str = ""
    """Tests only: see db/runtime/faults.py."""

    def __post_init__(self) -> None:
        self._check_database()
        _require(self.redis_url, "REDIS_URL", ("redis", "rediss"), "redis://host:6379/0")
        _require(self.smtp_url, "SMTP_URL", ("smtp", "smtps"), "smtp://host:25")
        _require(self.public_url, "PUBLIC_URL", ("http", "https"), "https://tickets.example.org")
        if not re.fullmatch(r"\S+:\d+", self.live_bind):
            raise SettingsError("LIVE_BIND must be host:port, like 0.0.0.0:8001")
        if self.gateway_limit <= 0 or self.gateway_account_limit < 0:
            raise SettingsError("GATEWAY_LIMIT must be a number of calls a second above 0")
        self._derive()
        self._check_words()
        if not self.webhook_secrets:
            raise SettingsError("STRIPE_WEBHOOK_SECRET has no secret: set it to the endpoint's")
        _ = self.sealing_keys  # it says what is wrong with ENCRYPTION_KEYS
        if min(map(len, (self.secret_key, *self.old_keys))) < 32:
            raise SettingsError("SECRET_KEY is too short: set it to 32 random characters or more")
        for field in fields(self):
            if field.name.startswith("retention_") and getattr(self, field.name) < 1:
                raise SettingsError(f"{field.name.upper()} must be a day or more")

    def _derive(self) -> None:
        """Set what was left out and follows from other settings."""
        derived: dict[str, object] = {
            "cache_url": urlsplit(self.redis_url)._replace(path="/1").geturl(),
            "database_prepared": "off" if self.database_pooler == "on" else "on",
            "rate_limits": "on" if self.trusted_proxies else "off",
            "gateway_account_limit": 4 * self.gateway_limit,
            "live_streams_per_address": max(self.live_streams // 10, 10),
        }
        for name, value in derived.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)

    def _check_words(self) -> None:
        if self.rate_limits not in ("on", "off"):
            raise SettingsError("RATE_LIMITS must be on or off")
        if self.database_prepared not in ("on", "off"):
            raise SettingsError("DATABASE_PREPARED must be on or off")
        if self.sign_up not in ("at_once", "by_mail"):
            raise SettingsError("SIGN_UP must be at_once or by_mail")
        if self.oidc_addresses not in ("public", "loopback"):
            raise SettingsError("OIDC_ADDRESSES must be public or loopback")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise SettingsError("LOG_LEVEL must be one of debug, info, warning, error")

    def _check_database(self) -> None:
        if not self.database_direct_url:
            object.__setattr__(self, "database_direct_url", self.database_url)
        for name in ("database_url", "database_direct_url"):
            schemes, example = ("postgresql", "postgres"), "postgresql://host/db"
            _require(getattr(self, name), name.upper(), schemes, example)
        if self.database_pooler not in ("on", "off"):
            raise SettingsError("DATABASE_POOLER must be on or off")

    @property
    def old_keys(self) -> list[str]:
        return [key.strip() for key in self.secret_key_fallbacks.split(",") if key.strip()]

    @property
    def webhook_secrets(self) -> list[str]:
        """STRIPE_WEBHOOK_SECRET, without what is empty: anyone can sign with an empty secret."""
        return [text.strip() for text in self.stripe_webhook_secret.split(",") if text.strip()]

    @cached_property
    def sealing_keys(self) -> dict[str, bytes]:
        """ENCRYPTION_KEYS by id, in their order."""
        keys: dict[str, bytes] = {}
        for item in filter(None, map(str.strip, self.encryption_keys.split(","))):
            key_id, _, encoded = item.partition(":")
            key = _decode_key(encoded)
            if not re.fullmatch("[a-z0-9_-]{1,16}", key_id) or key is None or key_id in keys:
                raise SettingsError(
                    "ENCRYPTION_KEYS is not a list of different `id:key`, separated by commas, each"
                    " key 32 bytes in base64: `python -m ops.console secrets new-key` makes one"
                )
            keys[key_id] = key
        return keys


def _decode_key(encoded: str) -> bytes | None:
    """The 32 bytes of a key, in base64 of either alphabet. None: it is no such key."""
    try:
        key = b64decode(encoded.translate(str.maketrans("-_", "+/")), validate=True)
    except ValueError:
        return None
    return key if len(key) == 32 else None


def _require(value: str, name: str, schemes: tuple[str, ...], example: str) -> None:
    if urlsplit(value).scheme not in schemes:
        raise SettingsError(f"{name} is not a URL that Usher understands: set it like {example}")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from upper-case environment variables; empty ones count as missing.

    Errors: SettingsError.
    """
    values: dict[str, str | int | float] = {}
    for field in fields(Settings):
        name = field.name.upper()
        given = environment.get(name, "")
        if not given:
            if field.default is MISSING:
                raise SettingsError(f"{name} is not set: see the table in ops/docs/running.md")
            continue
        try:
            values[field.name] = field.type(given) if field.type in (int, float) else given
        except ValueError:
            raise SettingsError(f"{name} must be a number, not {given!r}") from None
    return Settings(**values)  # type: ignore[arg-type]


@cache
def settings() -> Settings:
    """This process's settings. If one is missing or wrong, the process ends with one sentence."""
    try:
        return read_settings(os.environ)
    except SettingsError as error:
        sys.exit(f"usher: {error}")
