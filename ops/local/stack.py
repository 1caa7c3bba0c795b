"""All of Usher on one machine: servers, sandbox, catcher and the Procfile's processes.

    with Stack(Path("var")) as stack:
        requests.get(stack.web_url + "/v1/events")
        stack.supervisor.kill("worker")
        stack.postgres.restart("immediate")

All files are below `var_dir` and are deleted at the next start; with `keep` the next run goes on
with the database, the sandbox, the mails and the secrets of this one. With `proxied` a proxy stands
in front, as in production: it takes whole requests in and says from which address they came, so
that limits are on. When the block ends, with or without an error, every process is stopped.
DATABASE_URL and REDIS_URL, if set, are used instead of embedded servers.
"""

import contextlib
import fcntl
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from db.presentation.gateway_words import NOTIFICATION_TYPES
from db.runtime.sealing import make_key
from ops.local.kept import HOST, Kept, can_listen
from ops.local.proxy import COMMAND, has_source_addresses, proxy_env
from ops.local.servers import Postgres, Redis, free_port, stopping_on_signals
from ops.local.supervisor import ROOT, Supervisor, read_procfile
from ops.sandbox.stripe.process import starting_sandbox, wait_for_sandbox

HOST_V6 = "::1"  # many programs try it first for "localhost"


class Stack:
    """Start with `with`. `formation` says how many of each process type; default: one of each.

    `env` adds to, or overrides, what the processes get. `sandbox_options` go to running_sandbox().
    `web_port` 0 means a free one; another one is served at http://localhost, by IPv4 and IPv6.
    `web_url` is where clients ask, `direct_url` the web processes without the proxy, if there is
    one. `say` gets progress messages, a line at a time.
    """

    def __init__(
        self,
        var_dir: Path = ROOT / "var",
        formation: Mapping[str, int] | None = None,
        *,
        web_port: int = 0,
        proxied: bool = False,
        keep: bool = False,
        env: Mapping[str, str] | None = None,
        postgres_settings: dict[str, str] | None = None,
        sandbox_options: Mapping[str, Any] | None = None,
        say: Callable[[str], object] = print,
    ) -> None:
        self.var_dir = var_dir.resolve()
        self.procfile = read_procfile()
        one_of_each = {kind: 1 for kind in self.procfile if kind != "release"}
        self.formation = dict(one_of_each if formation is None else formation)
        self.web_port = web_port or free_port()
        self.web_url = f"http://{HOST}:{self.web_port}"
        self.public_url = f"http://localhost:{web_port}" if web_port else self.web_url
        self.proxied = proxied and bool(self.formation.get("web"))
        self.keep = keep
        self.extra_env = dict(env or {})
        self.postgres_settings = postgres_settings
        self.sandbox_options = dict(sandbox_options or {})
        self.say = say
        self.log_dir = self.var_dir / "log"
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.database_url = self.redis_url = self.cache_url = ""
        self.env: dict[str, str] = {}
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            starting.enter_context(stopping_on_signals())
            starting.enter_context(alone_in(self.var_dir))
            self.kept = Kept(self.var_dir / "kept.json" if self.keep else None)
            self._empty_var()
            self._choose_ports()
            outside = self._start_sandbox(starting)
            self._start_database(starting)
            self._start_redis(starting)
            self.sandbox = starting.enter_context(contextlib.closing(wait_for_sandbox(outside)))
            settings = self._compose_settings()
            starting.enter_context(env_file(self.var_dir / "env", settings))
            self.env = {**os.environ, "PATH": self._path(), **settings}
            self.supervisor = starting.enter_context(Supervisor(self.env, self.log_dir))
            self._start_outside()
            self._release()
            self._start_processes()
            self._closing = starting.pop_all()
        return self

    def _empty_var(self) -> None:
        for name in ("log", "mail", "metrics"):
            if not (self.keep and name == "mail"):
                shutil.rmtree(self.var_dir / name, ignore_errors=True)
            (self.var_dir / name).mkdir(parents=True, exist_ok=True)

    def _choose_ports(self) -> None:
        """Choose where the processes listen. The port of the web processes is decided already: if
        it is taken, another program's answer would be mistaken for Usher's."""
        self.web_hosts = [HOST]
        if self.public_url != self.web_url and has_ipv6():
            self.web_hosts.append(HOST_V6)
        for host in self.web_hosts:
            if not can_listen(host, self.web_port):
                sys.exit(
                    f"port {self.web_port} of {host} is in use by another program."
                    f" Choose another one: ARGS='--port {self.web_port + 1}'"
                )
        self.direct_url = self.web_url
        if self.proxied:
            self.direct_url = f"http://{HOST}:{self.kept.port('direct_port', free_port)}"
        self.live_url = f"http://{HOST}:{self.kept.port('live_port', free_port)}"
        self.smtp_port = free_port()
        self.catcher_url = f"http://{HOST}:{self.kept.port('catcher_port', free_port)}"

    def _start_database(self, starting: contextlib.ExitStack) -> None:
        self.database_url = os.environ.get("DATABASE_URL", "")
        if not self.database_url:
            self.say("starting PostgreSQL")
            server = Postgres(self.var_dir / "pg", self.postgres_settings, keep=self.keep)
            self.postgres = starting.enter_context(server)
            self.database_url = self.postgres.url_of("usher")
            if not self.postgres.has_database("usher"):
                self.postgres.create_database("usher")

    def _start_redis(self, starting: contextlib.ExitStack) -> None:
        self.redis_url = os.environ.get("REDIS_URL", "")
        self.cache_url = os.environ.get("CACHE_URL", "")
        if not self.redis_url:
            self.say("starting Redis")
            self.redis = starting.enter_context(Redis(self.var_dir / "redis"))
            self.redis_url, self.cache_url = self.redis.url_of(0), self.redis.url_of(1)

    def _start_sandbox(self, starting: contextlib.ExitStack) -> "subprocess.Popen[bytes]":
        """Start it first: it is ready when the servers are."""
        self.say("starting the Stripe sandbox")
        self.webhook_secret = self.kept.get(
            "webhook_secret", lambda: f"whsec_{secrets.token_urlsafe(24)}"
        )
        options: dict[str, Any] = {
            "webhook_url": f"{self.web_url}/webhooks/stripe",
            "webhook_secret": self.webhook_secret,
            "webhook_events": ",".join(NOTIFICATION_TYPES),
        }
        if self.keep:
            options["port"] = self.kept.port("sandbox_port", free_port)
            options["state_dir"] = self.var_dir / "sandbox"
        return starting.enter_context(starting_sandbox(**options, **self.sandbox_options))

    def _compose_settings(self) -> dict[str, str]:
        """The environment that db/runtime/settings.py and gunicorn read."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "CACHE_URL": self.cache_url,
            "SECRET_KEY": self.kept.get("secret_key", lambda: secrets.token_urlsafe(32)),
            "ENCRYPTION_KEYS": self.kept.get("encryption_keys", lambda: make_key("local")),
            "PUBLIC_URL": self.public_url,
            "STRIPE_API_KEY": self.kept.get(
                "stripe_api_key", lambda: f"sk_test_{secrets.token_hex(12)}"
            ),
            "STRIPE_API_BASE": self.sandbox.url,
            "STRIPE_WEBHOOK_SECRET": self.webhook_secret,
            "SMTP_URL": f"smtp://{HOST}:{self.smtp_port}",
            "MAIL_FROM": "Usher <tickets@usher.example>",
            "PROMETHEUS_MULTIPROC_DIR": str(self.var_dir / "metrics"),
            **(self._behind_proxy() if self.proxied else self._without_proxy()),
            "LIVE_BIND": self.live_url.removeprefix("http://"),
            **self.extra_env,
        }

    def _behind_proxy(self) -> dict[str, str]:
        """Settings with a proxy in front, through which streams are reached as well."""
        known = {} if has_source_addresses() else {"UNLIMITED_ADDRESSES": "127.0.0.0/8 ::1/128"}
        return {**listen_at(self.direct_url), "TRUSTED_PROXIES": "1", "RATE_LIMITS": "on", **known}

    def _without_proxy(self) -> dict[str, str]:
        """Settings without a proxy. Limits are off, since the whole crowd has one address."""
        binds = [f"[{host}]" if ":" in host else host for host in self.web_hosts]
        urls = [f"http://{host}:{self.web_port}" for host in binds]
        return {**listen_at(*urls), "RATE_LIMITS": "off", "LIVE_URL": self.live_url}

    def _path(self) -> str:
        """PATH with this Python's scripts first, for the Procfile's command lines."""
        return f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"

    def _release(self) -> None:
        self.say("migrating the database")
        command = f"exec env {self.procfile['release']}"
        subprocess.run(["/bin/sh", "-c", command], env=self.env, cwd=ROOT, check=True)

    def _start_processes(self) -> None:
        shown = (f"{count} {kind}" for kind, count in self.formation.items() if count)
        self.say(f"starting {', '.join(shown)}")
        for kind, count in self.formation.items():
            self.supervisor.start(kind, self.procfile[kind], count)
        self.supervisor.wait_for_http("catcher", f"{self.catcher_url}/readyz")
        if self.formation.get("web"):
            self.supervisor.wait_for_http("web", f"{self.direct_url}/readyz")
        if self.formation.get("live"):
            self.supervisor.wait_for_http("live", f"{self.live_url}/readyz")
        if self.proxied:
            self.supervisor.wait_for_http("proxy", f"{self.web_url}/readyz")

    def _start_outside(self) -> None:
        """Start what needs no database, beside its migration."""
        self.say(
            "starting the mail catcher and the proxy"
            if self.proxied
            else "starting the mail catcher"
        )
        self.supervisor.start("catcher", self._catcher_command())
        if self.proxied:
            self._start_proxy()

    def pids(self) -> dict[str, list[int]]:
        """The processes that were started for each part, without those that they have started."""
        parts = {kind: self.supervisor.pids(kind) for kind in ("catcher", "proxy", *self.formation)}
        servers = {"postgres": self.postgres, "redis": self.redis}
        parts |= {name: [server.pid] for name, server in servers.items() if server}
        return parts | {"sandbox": [self.sandbox.process.pid]}

    def _start_proxy(self) -> None:
        folder = self.var_dir / "proxy"
        env = proxy_env(folder, self.web_port, self.web_hosts, self.direct_url, self.live_url)
        self.supervisor.start("proxy", COMMAND, env=env)

    def _catcher_command(self) -> str:
        ports = f"--smtp-port {self.smtp_port} --http-port {self.catcher_url.rpartition(':')[2]}"
        return f'python -m ops.sandbox.mail_catcher {ports} --dir "{self.var_dir / "mail"}"'

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.say("stopping")
        self._closing.close()


def listen_at(*urls: str) -> dict[str, str]:
    """gunicorn's addresses: they override its file's, so that it does not listen on the network."""
    binds = [url.removeprefix("http://") for url in urls]
    return {
        "GUNICORN_CMD_ARGS": " ".join(f"--bind {bind}" for bind in binds),
        "PORT": binds[0].rpartition(":")[2],
    }


def has_ipv6() -> bool:
    return can_listen(HOST_V6, 0)


@contextlib.contextmanager
def env_file(path: Path, values: Mapping[str, str]) -> Iterator[None]:
    """Settings for other terminals: `make console` reads them while the stack runs."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items()))
    try:
        yield
    finally:
        path.unlink()


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Lock a directory for this process; a second process exits with a message."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{directory} is in use by another run: stop that one first")
        yield
