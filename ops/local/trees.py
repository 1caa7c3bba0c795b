"""Copy the repository's files to run beside this checkout: the present ones, or a commit's."""

import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from ops.local.supervisor import ROOT


def git(*arguments: str) -> bytes:
    """The output of a git command in this checkout. Errors: subprocess.CalledProcessError."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def copy_checkout(tree: Path) -> None:
    """Copy all files that git tracks or would add, and link this checkout's packages."""
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    link_packages(tree)


def copy_commit(tree: Path, commit: str) -> str:
    """Copy the files of a commit, without packages; return its short name."""
    with tarfile.open(fileobj=BytesIO(git("archive", "--format=tar", commit))) as files:
        files.extractall(tree, filter="data")
    return git("rev-parse", "--short", commit).decode().strip()


def python_for(tree: Path) -> Path:
    """The Python for a tree: this one, unless the tree locks other packages."""
    if locks(tree) == locks(ROOT):
        link_packages(tree)
        return Path(sys.executable)
    print("  installing the packages that are locked there", flush=True)
    subprocess.run(["make", "-s", "install", f"PYTHON={sys.executable}"], cwd=tree, check=True)
    return tree / ".venv" / "bin" / "python"


def locks(tree: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tree.glob("requirements*.txt")}


def link_packages(tree: Path) -> None:
    (tree / ".venv").symlink_to((ROOT / ".venv").resolve())
