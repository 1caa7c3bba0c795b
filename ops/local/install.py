"""Install the packages of lock files into this program's environment, and print the progress.

python ops/local/install.py requirements.txt requirements-dev.txt

Needs only the standard library. Hashes are checked, and nothing is compiled: the two packages
without a wheel are pure Python.
"""

import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE

QUIET = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
AS_LOCKED = ["--no-deps", "--require-hashes", "--use-pep517"]
NO_COMPILER = ["--only-binary", ":all:", "--no-binary", "yandex-pgmigrate,localstripe"]
PAUSE = 2.0  # seconds between two lines


def count_packages(locks: list[str]) -> int:
    """Count the packages in the locks, including those for other systems."""
    lines = [line for lock in locks for line in Path(lock).read_text().splitlines()]
    return len({line.split()[0] for line in lines if "==" in line})


@dataclass
class Installation:
    """How far pip is. site: the folder into which it unpacks."""

    total: int
    site: Path
    began: float = field(default_factory=time.monotonic)
    fetched: int = 0
    ignored: set[str] = field(default_factory=set)
    to_unpack: int = 0
    there_before: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            word, _, rest = line.strip().partition(" ")
            if word in ("Collecting", "Processing"):  # from the network, or from a folder
                self.fetched += 1
            elif word == "Ignoring":  # a package for other systems
                self.ignored.add(rest)
            elif line.startswith("Installing collected packages"):
                self.there_before, self.to_unpack = self.count_unpacked(), line.count(",") + 1
        self.ended.set()

    def count_unpacked(self) -> int:
        return sum(1 for _ in self.site.glob("*.dist-info"))

    def progress(self) -> str:
        seconds = f"{time.monotonic() - self.began:.0f} s"
        if not self.to_unpack:
            return f"{self.fetched} of {self.total - len(self.ignored)} packages fetched, {seconds}"
        unpacked = self.count_unpacked() - self.there_before
        return f"{unpacked} of {self.to_unpack} packages unpacked, {seconds}"

    def tell(self) -> None:
        """Print every few seconds how far pip is, also when it says nothing for long."""
        while not self.ended.wait(PAUSE):
            print(f"  {self.progress()}", flush=True)


def main(locks: list[str]) -> int:
    """Return pip's exit code. pip's warnings and errors go to stderr as they come."""
    print(f"Installing {' and '.join(locks)} into {sys.prefix}", flush=True)
    pip = Installation(count_packages(locks), Path(sysconfig.get_path("purelib")))
    files = [word for lock in locks for word in ("-r", lock)]
    command = [sys.executable, "-m", "pip", "install", *QUIET, *AS_LOCKED, *NO_COMPILER, *files]
    threading.Thread(target=pip.tell, daemon=True).start()
    with subprocess.Popen(command, stdout=PIPE, text=True) as process:
        pip.follow(process.stdout or ())
    if not process.returncode:
        print(f"  done after {time.monotonic() - pip.began:.0f} s", flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
