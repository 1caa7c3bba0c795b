"""Start the sandbox as a process of its own, for tests, the demo and the campaigns."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import requests

from ops.local.servers import tethered

ROOT = Path(__file__).resolve().parents[3]
STOP_SECONDS = 10
ANSWER_SECONDS = 30

Json = dict[str, Any]


class Sandbox:
    """A running sandbox. Its methods raise requests.HTTPError when the sandbox refuses."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url
        self._http = requests.Session()

    def ledger(self, **query: str) -> Json:
        """See `ledger.ledger`; `by="…"` names another metadata key, `totals="1"` is shorter."""
        return self._get("ledger", **query)

    def calls(self) -> Json:
        """`counts` by call and status, `total`, the `latest` calls, `webhooks` by outcome, and how
        often each kind of fault occurred (`faults`)."""
        return self._get("calls")

    def faults(self, *, account: str = "", **wanted: Any) -> Json:
        """Set faults (see `faults.Settings`), and `next=[{"call": …, "kind": …}]`. account: not the
        platform's but this one's."""
        return self._post("faults" + of(account), wanted)

    def account(self, id: str, **wanted: Any) -> Json:
        """Add an account, or change it: `keys`, `revoke`, `connected`, `webhook`."""
        return self._post(f"accounts/{id}", wanted)

    def pay_out(self, currency: str, account: str = "") -> Json:
        """Pay out the balance of an account; default: the platform's."""
        return self._post("payouts" + of(account), {"currency": currency})

    def limits(self, **rates: float) -> Json:
        """Set `account_rate`, `endpoint_rate`; requests a second, 0 for no limit."""
        return self._post("limits", rates)

    def authenticate(self, intent: str, outcome: str) -> Json:
        """The buyer answers 3-D Secure: `approve` or `fail`."""
        return self._post(f"intents/{intent}/authenticate", {"outcome": outcome})

    def settle(self, intent: str, outcome: str) -> Json:
        """A delayed payment ends: `succeeded` or `failed`."""
        return self._post(f"intents/{intent}/settle", {"outcome": outcome})

    def lapse(self, intent: str) -> Json:
        """An authorisation expires uncaptured."""
        return self._post(f"intents/{intent}/lapse", {})

    def settle_refund(self, refund: str, outcome: str) -> Json:
        """A refund ends, or fails after all: `succeeded` or `failed`."""
        return self._post(f"refunds/{refund}/settle", {"outcome": outcome})

    def close_dispute(self, dispute: str, outcome: str) -> Json:
        """The bank decides: `won` or `lost`."""
        return self._post(f"disputes/{dispute}/close", {"outcome": outcome})

    def reset(self) -> None:
        """Forget all objects, calls and faults; limits and the endpoint given at start stay."""
        self._post("reset", {})

    def close(self) -> None:
        """Close the connection to it."""
        self._http.close()

    def stop(self) -> None:
        """Stop it cleanly."""
        self.close()
        self.process.terminate()
        wait_or_kill(self.process)

    def kill(self) -> None:
        """Kill it, as in a crash."""
        self.close()
        self.process.kill()
        wait_or_kill(self.process)

    def _get(self, path: str, **query: str) -> Json:
        return checked(
            self._http.get(f"{self.url}/_sandbox/{path}", params=query, timeout=ANSWER_SECONDS)
        )

    def _post(self, path: str, body: Json) -> Json:
        return checked(
            self._http.post(f"{self.url}/_sandbox/{path}", json=body, timeout=ANSWER_SECONDS)
        )


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def of(account: str) -> str:
    return f"?account={account}" if account else ""


def checked(answer: requests.Response) -> Json:
    if not answer.ok:
        raise requests.HTTPError(f"{answer.status_code}: {answer.text}", response=answer)
    found: Json = answer.json()
    return found


@contextmanager
def running_sandbox(**options: object) -> Iterator[Sandbox]:
    """A sandbox for the time of a `with` block, on a free port unless `port` is given.

    Options are those of `python -m ops.sandbox.stripe`, with underscores: `state_dir`,
    `account_rate`, `endpoint_rate`, `webhook_url`, `webhook_secret` and `webhook_events`,
    `webhook_backoff`, `settle_after` … Here the rate limits are off unless given.
    """
    sandbox = start_sandbox(**options)
    try:
        yield sandbox
    finally:
        sandbox.stop()


def start_sandbox(**options: object) -> Sandbox:
    """As `running_sandbox`, but the caller stops it. Raises RuntimeError if it does not start."""
    return wait_for_sandbox(spawn_sandbox(**options))


@contextmanager
def starting_sandbox(**options: object) -> Iterator[subprocess.Popen[bytes]]:
    """As `running_sandbox`, but its process, which other things can start beside; see
    wait_for_sandbox."""
    process = spawn_sandbox(**options)
    try:
        yield process
    finally:
        process.terminate()
        wait_or_kill(process)


def spawn_sandbox(**options: object) -> subprocess.Popen[bytes]:
    chosen = {"port": 0, "account_rate": 0, "endpoint_rate": 0, **options}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    # Tethered, so that it dies with its parent.
    command = [sys.executable, "-m", "ops.sandbox.stripe", *flags]
    return tethered(command, subprocess.PIPE, cwd=ROOT)


def wait_for_sandbox(process: subprocess.Popen[bytes]) -> Sandbox:
    """Raises RuntimeError if it does not start."""
    assert process.stdout is not None
    # The line is printed once the socket accepts, after the state has been read.
    lines = []
    while line := process.stdout.readline().decode():
        if line.startswith("Stripe sandbox at "):
            threading.Thread(target=pass_on, args=[process.stdout], daemon=True).start()
            return Sandbox(process, line.split()[-1])
        lines.append(line)
    raise RuntimeError(f"The sandbox did not start (code {process.wait()}):\n{''.join(lines)}")


def pass_on(output: IO[bytes]) -> None:
    """Copy its output to our stderr: when an unread pipe is full, the sandbox would stop."""
    with output, open(2, "wb", buffering=0, closefd=False) as stderr:
        shutil.copyfileobj(output, stderr)
