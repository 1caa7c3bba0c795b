"""nginx on this machine, with the configuration that is shipped (ops/deploy/nginx): for tests and
attacks. It is not in a wheel: it has to be installed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.local.servers import tethered
from ops.local.supervisor import ROOT

SHIPPED = ROOT / "ops" / "deploy" / "nginx" / "usher.conf"
AROUND = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/usher.conf;
}}
"""


def find_nginx() -> str | None:
    """The path of the program, if it is installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def configure(folder: Path, port: int, web_port: int, live_port: int) -> Path:
    """Write the file as it is shipped but for ports and folders, and what is around it."""
    text = SHIPPED.read_text()
    for shipped, here in {
        "127.0.0.1:8000": f"127.0.0.1:{web_port}",
        "127.0.0.1:8001": f"127.0.0.1:{live_port}",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "/var/cache/nginx/usher": str(folder / "cache"),
        "/var/log/nginx/usher.log": str(folder / "access.log"),
    }.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, here)
    (folder / "usher.conf").write_text(text)
    main = folder / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    main.write_text(AROUND.format(folder=folder, user=user))
    return main


@contextmanager
def running_nginx(program: str, folder: Path, main: Path) -> Iterator[None]:
    """Run it until the block ends; it may not listen yet when the block begins."""
    with (folder / "nginx.log").open("wb") as log:
        nginx = tethered([program, "-p", str(folder), "-c", str(main)], log, cwd=folder)
    try:
        yield
    finally:
        nginx.terminate()
        nginx.wait()
