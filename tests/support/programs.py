"""Programs of the system that tests need and no lock can install."""

import os
import shutil

import pytest


def need_program(name: str) -> str:
    """The program's path; without it the test is skipped here, and fails where CI is set."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{name} is not installed here: .ci/run says which package has it")
    return path
