"""Usher in an empty environment, installed in the two ways that there are besides the Makefile's:
from the locks as a platform does it, and as a package. Nothing may need a compiler.
"""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from ops.deploy.psycopg2_stand_in import WHEEL, make
from ops.local.install import Installation
from ops.local.servers import free_port
from ops.local.supervisor import ROOT, Supervisor, read_procfile
from tests.support.databases import Servers
from tests.support.running import Catcher
from tests.support.waiting import wait_until
from tests.support.world import environment

LEFT_OUT = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "__pycache__")
PIP = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]


def pip_install(venv: Path, cwd: Path, *arguments: str) -> None:
    """Install into a new environment of its own, on a machine without a compiler."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    command = [str(venv / "bin/python"), *PIP, *arguments]
    subprocess.run(command, cwd=cwd, env={**os.environ, "CC": "/bin/false"}, check=True)


def versions_without_hashes() -> str:
    """The lock as constraints: pip refuses hashes where a folder is installed."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return "\n".join(line.removesuffix("\\") for line in lines if "==" in line)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The repository as it is cloned."""
    return Path(shutil.copytree(ROOT, tmp_path / "sources", ignore=LEFT_OUT))


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    catcher = Catcher(tmp_path / "mail")
    yield catcher
    catcher.process.terminate()
    catcher.process.wait()


@pytest.fixture
def settings_of_new_usher(
    servers: Servers, redis_url: str, catcher: Catcher, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """For an Usher on an empty database."""
    web, live = free_port(), free_port()
    yield environment(servers.create("usher_installed"), redis_url) | {
        "SMTP_URL": f"smtp://127.0.0.1:{catcher.smtp_port}",
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{web}",
        "PORT": str(web),
        "LIVE_BIND": f"127.0.0.1:{live}",
        "RATE_LIMITS": "off",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
    }
    servers.drop("usher_installed")


def check_it_works(
    venv: Path, folder: Path, settings: Mapping[str, str], catcher: Catcher, logs: Path
) -> None:
    """All processes of the Procfile start in a folder, and a mail goes through most of them."""
    inherited = {
        name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ
    }
    env = {**inherited, **settings, "PATH": f"{venv / 'bin'}:{os.defpath}"}
    commands = read_procfile()
    release = ["/bin/sh", "-c", commands.pop("release")]
    subprocess.run(release, cwd=folder, env=env, check=True)
    web = f"http://127.0.0.1:{settings['PORT']}"
    with Supervisor(env, logs, folder) as supervisor:
        for kind, command in commands.items():
            supervisor.start(kind, command)
        supervisor.wait_for_http("web", f"{web}/readyz", timeout=120)
        supervisor.wait_for_http("live", f"http://{settings['LIVE_BIND']}/readyz", timeout=120)
        assert requests.get(f"{web}/docs/files/swagger-ui.css", timeout=10).ok
        alice = {"name": "Alice", "email": "alice@usher.example"}
        requests.post(f"{web}/v1/accounts", json=alice, timeout=10).raise_for_status()
        asked = requests.post(f"{web}/v1/tokens", json={"email": alice["email"]}, timeout=10)
        assert asked.status_code == 202
        wait_until(lambda: catcher.mails(alice["email"]), 120)
        again = [p.log_tail() for p in supervisor.processes.values() if p.starts > 1]
        assert not again, "\n".join(again)


@pytest.mark.system
@pytest.mark.timeout(600)
def test_the_lock_installs_as_platforms_do_it(
    sources: Path, settings_of_new_usher: dict[str, str], catcher: Catcher, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    pip_install(venv, sources, "-r", "requirements.txt")
    subprocess.run([str(venv / "bin/python"), "-m", "pip", "check"], check=True)
    check_it_works(venv, sources, settings_of_new_usher, catcher, tmp_path / "log")


@pytest.mark.system
@pytest.mark.timeout(600)
def test_the_package_has_all_that_it_needs(
    sources: Path, settings_of_new_usher: dict[str, str], catcher: Catcher, tmp_path: Path
) -> None:
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "versions.txt").write_text(versions_without_hashes())
    found = ["--find-links", "ops/deploy/wheels"]
    pip_install(venv, sources, ".", *found, "--constraint", str(tmp_path / "versions.txt"))
    check_it_works(venv, elsewhere, settings_of_new_usher, catcher, tmp_path / "log")
    (installed,) = venv.glob("lib/python3*/site-packages")
    for folder in ("web", "tasks", "db", "sql", "ops"):
        for path in (ROOT / folder).rglob("*.*"):
            name = path.relative_to(ROOT)
            if path.suffix not in (".md", ".sh", ".whl", ".pyc"):
                assert (installed / name).is_file(), name


@pytest.mark.faults("First minutes")
def test_installing_says_how_far_it_is_while_it_fetches_and_while_it_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unpacking takes longer than fetching where the disk is slow, and pip says nothing then."""
    (tmp_path / "pip-24.dist-info").mkdir()
    pip = Installation(total=5, site=tmp_path)
    pip.follow(["Ignoring colorama: markers ...", "Collecting flask==3", "Processing ./a.whl"])
    assert pip.progress() == "2 of 4 packages fetched, 0 s"
    pip.follow(["Installing collected packages: flask, psycopg, redis"])
    (tmp_path / "flask-3.dist-info").mkdir()
    assert pip.progress() == "1 of 3 packages unpacked, 0 s"
    monkeypatch.setattr("ops.local.install.PAUSE", 0.01)
    pip.ended.clear()
    teller = threading.Thread(target=pip.tell)
    teller.start()
    wait_until(lambda: "packages unpacked" in capsys.readouterr().out)
    pip.ended.set()
    teller.join()


def test_the_stand_in_for_psycopg2_is_what_its_script_makes(tmp_path: Path) -> None:
    """And has nothing but metadata."""
    make(tmp_path / "made.whl")
    assert (tmp_path / "made.whl").read_bytes() == WHEEL.read_bytes()
    with zipfile.ZipFile(WHEEL) as wheel:
        assert all(".dist-info/" in name for name in wheel.namelist())


def test_locks_name_no_host() -> None:
    """Where packages come from is the business of the machine that installs them."""
    for lock in ROOT.glob("requirements*.txt"):
        assert "://" not in lock.read_text(), lock.name
