"""Install the packages of lock files into this program's environment, and print the progress.

python ops/local/install.py requirements.txt requirements-dev.txt

Needs only the standard library. Hashes are checked, and nothing is compiled: the two packages
without a wheel are pure Python.
"""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from subprocess import PIPE

QUIET = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
AS_LOCKED = ["--no-deps", "--require-hashes", "--use-pep517"]
NO_COMPILER = ["--only-binary", ":all:", "--no-binary", "yandex-pgmigrate,localstripe"]
PAUSE = 3.0  # seconds between two lines


def count_packages(locks: list[str]) -> int:
    """Count the packages in the locks, including those for other systems."""
    lines = [line for lock in locks for line in Path(lock).read_text().splitlines()]
    return len({line.split()[0] for line in lines if "==" in line})


def follow(lines: Iterable[str], total: int, began: float) -> None:
    """Print every few seconds how many packages were fetched."""
    said, fetched, ignored = began, 0, set[str]()
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        is_package = word in ("Collecting", "Processing")  # from the network, or from a folder
        fetched += is_package
        if word == "Ignoring":  # a package for other systems
            ignored.add(rest)
        now = time.monotonic()
        if line.startswith("Installing collected packages"):
            print(f"  {fetched} packages fetched after {now - began:.0f} s; unpacking", flush=True)
        elif is_package and now - said > PAUSE:
            print(f"  {fetched} of {total - len(ignored)} packages fetched", flush=True)
            said = now


def main(locks: list[str]) -> int:
    """Return pip's exit code. pip's warnings and errors go to stderr as they come."""
    began = time.monotonic()
    print(f"Installing {' and '.join(locks)} into {sys.prefix}", flush=True)
    files = [word for lock in locks for word in ("-r", lock)]
    command = [sys.executable, "-m", "pip", "install", *QUIET, *AS_LOCKED, *NO_COMPILER, *files]
    with subprocess.Popen(command, stdout=PIPE, text=True) as pip:
        follow(pip.stdout or (), count_packages(locks), began)
    if not pip.returncode:
        print(f"  done after {time.monotonic() - began:.0f} s", flush=True)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
