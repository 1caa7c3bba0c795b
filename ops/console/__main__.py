"""`python -m ops.console`: operate a running Usher from the terminal (ops/console/commands.py).

Any Python of the system will do: where it has not got Usher's packages, that of `.venv` takes over.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

VENV_PYTHON = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"


def main() -> None:
    if find_spec("psycopg") is None:
        if sys.executable == str(VENV_PYTHON) or not VENV_PYTHON.exists():
            sys.exit("Usher's packages are not installed here: run `make install` first")
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), "-m", "ops.console", *sys.argv[1:]])
    from ops.console import commands

    commands.main()


if __name__ == "__main__":
    main()
