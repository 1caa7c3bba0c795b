"""Anyone can check a draw: an honest one is found so, and tampering is caught."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ops import verify_draw
from tests.support.lobbies import SOURCE, Lobby
from tests.support.world import Caller


@pytest.fixture
def proof(drawn: Lobby, site: str) -> verify_draw.Proof:
    return verify_draw.fetch_proof(site + drawn.sale.path)


def verify(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "ops.verify_draw", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_an_honest_draw_is_found_so(drawn: Lobby, site: str, tmp_path: Path) -> None:
    saved = tmp_path / "proof.json"
    url = site + drawn.sale.path
    found = verify(url, "--save", str(saved), "--account", "7")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.count("ok   ") == 6
    assert SOURCE in found.stdout
    assert f"Account 7 has number {drawn.expected(set(range(1, 40)))[7]} of 39." in found.stdout
    assert verify(str(saved), "--earlier", str(saved)).returncode == 0


@pytest.mark.processes
def test_without_a_public_value_it_says_so(announced: Lobby, site: str) -> None:
    announced.announce(public_source=None)
    announced.open()
    announced.enter(1)
    announced.close()
    announced.tick()
    found = verify(site + announced.sale.path)
    assert found.returncode == 0
    assert "random, but cannot be proved" in found.stdout


@pytest.mark.processes
def test_before_the_draw_there_is_nothing_to_check(lobby: Lobby, site: str) -> None:
    found = verify(site + lobby.sale.path)
    assert (found.returncode, found.stdout) == (1, "Nothing was drawn yet: the lobby is open.\n")


@pytest.mark.processes
def test_an_address_without_a_lobby_is_refused(announced: Lobby, site: str) -> None:
    for source in (site + announced.sale.path, "nothing", "http://127.0.0.1:9/v1/events/1"):
        found = verify(source)
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.startswith("The proof cannot be read: ")


def flip(text: str) -> str:
    """Another digit at the end."""
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def swap_lines(text: str) -> str:
    """The accounts of the first two lines change places."""
    (first, a), (second, b), *rest = (line.split() for line in text.splitlines())
    return "".join(f"{n} {a}\n" for n, a in [(first, b), (second, a), *rest])


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("secret", flip, "The commitment is the sha256 of the secret."),
        ("commitment", flip, "The commitment is the sha256 of the secret."),
        ("public_value", flip, "The seed is the sha256 of the secret and the public value."),
        ("seed", flip, "The seed is the sha256 of the secret and the public value."),
        ("list_sha256", flip, "The list has the hash"),
        ("list_count", lambda count: count + 1, "accounts, sorted, each once."),
        ("list", lambda text: text.replace("17\n", ""), "The list has the hash"),
        ("list", lambda text: text + "40\n", "The list has the hash"),
        ("order", swap_lines, "are in the order that the seed and the list give."),
        ("order", lambda text: text.rpartition("39 ")[0], "are in the order"),
        ("drawn_at", lambda _: "2020-01-01T00:00:00+00:00", "It was committed to before"),
        ("secret", lambda _: None, "The proof is incomplete or damaged"),
        ("secret", lambda _: "no hex", "The proof is incomplete or damaged"),
        ("list", lambda _: None, "The proof is incomplete or damaged"),
        ("order", lambda _: None, "are in the order"),
    ],
)
def test_tampering_is_caught(
    proof: verify_draw.Proof,
    capsys: pytest.CaptureFixture[str],
    part: str,
    change: Any,
    sentence: str,
) -> None:
    assert verify_draw.report(proof, None, None) == 0
    capsys.readouterr()
    holder = proof if part in proof else proof["lobby"]
    holder[part] = change(holder[part])
    assert verify_draw.report(proof, None, None) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert any(sentence in line for line in wrong), wrong


def test_a_proof_made_up_anew_is_caught_by_who_kept_the_earlier_one(
    proof: verify_draw.Proof, capsys: pytest.CaptureFixture[str]
) -> None:
    """The organiser drew again with another secret: all is well, but for the commitment."""
    earlier = json.loads(json.dumps(proof))
    earlier["lobby"] |= dict.fromkeys(("secret", "seed", "public_value", "drawn_at"))
    earlier["lobby"]["state"] = "closed"
    lobby, secret = proof["lobby"], bytes(32)
    seed = hashlib.sha256(secret + lobby["public_value"].encode()).digest()
    lobby |= {"secret": secret.hex(), "seed": seed.hex()}
    lobby["commitment"] = hashlib.sha256(secret).hexdigest()
    order = verify_draw.draw(seed, list(range(1, 40)))
    proof["order"] = "".join(f"{n} {a}\n" for n, a in enumerate(order, start=1))
    assert verify_draw.report(proof, None, None) == 0
    assert verify_draw.report(proof, earlier, None) == 1
    assert "WRONG commitment is what it was" in capsys.readouterr().out


def test_times_are_the_databases(lobby: Lobby, anybody: Caller) -> None:
    shown = datetime.fromisoformat(anybody.get(lobby.path).json["server_time"])
    assert abs(shown - datetime.now(UTC)) < timedelta(seconds=30)
