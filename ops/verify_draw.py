"""Check the draw of a lobby from public data: python -m ops.verify_draw https://…/v1/events/7

The checks, which any other tool can repeat:
- the commitment, published before the lobby opened, is the sha256 of the secret;
- the list's hash, published when the lobby had closed, is the sha256 of the sorted account ids,
  each followed by a line feed;
- the seed is the sha256 of the secret's 32 bytes and the public value in UTF-8;
- the numbers 1, 2, 3 … are the accounts in the order of HMAC-SHA256(seed, account id as decimal
  text).

Commitment and hash bind the organiser only if others kept them. --save writes what is public now to
a file, and --earlier compares with such a file. A file can be checked instead of an address. This
program needs only Python, so that it can be passed on by itself.
"""

import argparse
import hashlib
import hmac
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

Proof = dict[str, Any]
"""{lobby: the answer of GET …/lobby, list: text or null, order: text or null}."""

Check = tuple[bool, str]
"""Whether a statement holds, and the statement."""

FETCH_TIMEOUT = 60  # seconds
MARKS = {True: "ok   ", False: "WRONG"}


def fetch_proof(url: str) -> Proof:
    """Fetch all public data of the draw of …/v1/events/7. Errors: OSError, ValueError."""
    base = url.rstrip("/").removesuffix("/lobby") + "/lobby"
    return {
        "lobby": json.loads(_get(base) or "null"),
        "list": _get(f"{base}/list"),
        "order": _get(f"{base}/order"),
    }


def _get(url: str) -> str | None:
    """Fetch a text; None when it is not published yet."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is neither a file nor an address that begins with http")
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code == 409:
            return None
        raise


def read_proof(source: str) -> Proof:
    """Read a proof from a file of --save, or from an address. Errors: OSError, ValueError."""
    proof = json.loads(Path(source).read_text()) if Path(source).is_file() else fetch_proof(source)
    if not (isinstance(proof, dict) and isinstance(proof.get("lobby"), dict)):
        raise ValueError(f"{source} has no lobby")
    return proof


def check_draw(proof: Proof) -> Iterator[Check]:
    """All checks of a draw that has been made."""
    lobby = proof["lobby"]
    secret, seed = bytes.fromhex(lobby["secret"]), bytes.fromhex(lobby["seed"])
    accounts = [int(line) for line in proof["list"].splitlines()]
    yield (
        hashlib.sha256(secret).hexdigest() == lobby["commitment"],
        "The commitment is the sha256 of the secret.",
    )
    yield from check_list(lobby, proof["list"], accounts)
    value = (lobby["public_value"] or "").encode()
    yield (
        hashlib.sha256(secret + value).digest() == seed,
        "The seed is the sha256 of the secret and the public value.",
    )
    yield (
        proof["order"]
        == "".join(f"{n} {a}\n" for n, a in enumerate(draw(seed, accounts), start=1)),
        f"The numbers 1 to {len(accounts)} are in the order that the seed and the list give.",
    )
    yield from check_times(lobby)


def draw(seed: bytes, accounts: list[int]) -> list[int]:
    """The accounts in the order of their numbers."""

    def rank(account: int) -> tuple[bytes, int]:
        return hmac.digest(seed, str(account).encode(), "sha256"), account

    return sorted(accounts, key=rank)


def check_list(lobby: dict[str, Any], text: str, accounts: list[int]) -> Iterator[Check]:
    yield (
        hashlib.sha256(text.encode()).hexdigest() == lobby["list_sha256"],
        "The list has the hash that was published when the lobby had closed.",
    )
    yield (
        len(accounts) == lobby["list_count"] and accounts == sorted(set(accounts)),
        f"The list has {lobby['list_count']} accounts, sorted, each once.",
    )


def check_times(lobby: dict[str, Any]) -> Iterator[Check]:
    """Check the order of the steps, by the times that the organiser's server gives."""
    steps = ["committed_at", "opens_at", "closes_at", "closed_at", "value_given_at", "drawn_at"]
    times = [datetime.fromisoformat(lobby[step]) for step in steps if lobby[step]]
    yield (
        times == sorted(times),
        "It was committed to before the lobby opened, and drawn after the list was published.",
    )


def compare(now: dict[str, Any], earlier: dict[str, Any]) -> Iterator[Check]:
    """Check that what was public earlier is unchanged, except for the times of the lobby."""
    for name in ("event_id", "commitment", "public_source", "list_sha256", "public_value", "seed"):
        if earlier[name] is not None:
            yield earlier[name] == now[name], f"{name} is what it was in the earlier file."


def place_of(proof: Proof, account: int) -> str:
    """Say which number the draw gave to an account."""
    for line in proof["order"].splitlines():
        number, _, drawn = line.partition(" ")
        if drawn == str(account):
            return f"Account {account} has number {number} of {proof['lobby']['list_count']}."
    return f"Account {account} is not on the list."


def verdict(lobby: dict[str, Any]) -> str:
    """Say what the checks prove, and what is left to compare."""
    if lobby["public_source"] is None:
        return (
            "No public value was named beforehand: the draw is random, but cannot be proved. With"
            " the secret, the order could be computed while the lobby was open."
        )
    return (
        f"Compare yourself. The public value announced: {lobby['public_source']}\n"
        f"The public value used: {lobby['public_value']}\n"
        f"It must have been unknown before {lobby['closed_at']}, when the list was published."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ops.verify_draw",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="an event's address, or a file that --save wrote")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep what is public now")
    parser.add_argument("--earlier", metavar="FILE", help="what was public when --save wrote this")
    parser.add_argument("--account", type=int, metavar="ID", help="say this account's number, too")
    wanted = parser.parse_args()
    try:
        proof = read_proof(wanted.source)
        earlier = read_proof(wanted.earlier) if wanted.earlier else None
    except (OSError, ValueError) as error:
        sys.exit(f"The proof cannot be read: {error}")
    if wanted.save:
        wanted.save.write_text(json.dumps(proof, indent=1) + "\n")
    sys.exit(report(proof, earlier, wanted.account))


def report(proof: Proof, earlier: Proof | None, account: int | None) -> int:
    """Print each check in a sentence. 0: all hold; 1: one fails, or there is no draw yet."""
    lobby = proof["lobby"]
    checks = list(compare(lobby, earlier["lobby"])) if earlier else []
    drawn = lobby["state"] == "drawn"
    if drawn:
        try:
            checks += check_draw(proof)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            checks.append((False, f"The proof is incomplete or damaged: {error!r}"))
    for holds, sentence in checks:
        print(MARKS[holds], sentence)
    if not drawn:
        print(f"Nothing was drawn yet: the lobby is {lobby['state']}.")
        return 1
    if not all(holds for holds, _ in checks):
        print("The draw is NOT as published.")
        return 1
    print(verdict(lobby))
    if account is not None:
        print(place_of(proof, account))
    return 0


if __name__ == "__main__":
    main()
