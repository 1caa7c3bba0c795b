"""Make the stand-in for psycopg2: a wheel without code that requires psycopg2-binary instead.

yandex-pgmigrate requires psycopg2, which pip has to build with a compiler and libpq's headers.
psycopg2-binary is the same module, already built. The stand-in's version is above all versions of
psycopg2, so that pip and uv prefer it where the locks' `--find-links ops/deploy/wheels` applies.
"""

import base64
import hashlib
import zipfile
from pathlib import Path

VERSION = "2.9999+binary"
WHEEL = Path(__file__).parent / "wheels" / f"psycopg2-{VERSION}-py3-none-any.whl"
FILES = {
    "METADATA": f"Metadata-Version: 2.1\nName: psycopg2\nVersion: {VERSION}\n"
    "Summary: Asks for psycopg2-binary, the same module\nRequires-Dist: psycopg2-binary >=2.9.11\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: usher\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def digest(text: str) -> str:
    """The hash in the format of RECORD."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def make(path: Path) -> None:
    """Write the wheel; its bytes are always the same, since the locks have its hash."""
    folder = f"psycopg2-{VERSION}.dist-info"
    files = {f"{folder}/{name}": text for name, text in FILES.items()}
    lines = [f"{name},sha256={digest(text)},{len(text)}" for name, text in files.items()]
    record = f"{folder}/RECORD"
    files[record] = "\n".join([*lines, f"{record},,", ""])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(zipfile.ZipInfo(name), text)


if __name__ == "__main__":
    make(WHEEL)
