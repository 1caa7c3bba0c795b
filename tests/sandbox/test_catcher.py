"""ops/sandbox/mail_catcher.py: kept once, counted, shown safely, and wrong on request."""

import smtplib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests

from ops.local.servers import free_port
from ops.local.supervisor import Supervisor

pytestmark = pytest.mark.processes


@dataclass(frozen=True)
class Catcher:
    smtp_port: int
    url: str
    directory: Path
    supervisor: Supervisor

    def send(self, message: EmailMessage) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as client:
            client.send_message(message)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=5)

    def set_faults(self, **faults: object) -> None:
        requests.post(f"{self.url}/faults", json=faults, timeout=5).raise_for_status()


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    smtp_port, http_port = free_port(), free_port()
    ports = f"--smtp-port {smtp_port} --http-port {http_port}"
    with Supervisor({"PATH": "/usr/bin:/bin"}, tmp_path / "log") as supervisor:
        command = f"{sys.executable} -m ops.sandbox.mail_catcher {ports} --dir {tmp_path / 'mail'}"
        supervisor.start("catcher", command)
        url = f"http://127.0.0.1:{http_port}"
        supervisor.wait_for_http("catcher", f"{url}/readyz")
        yield Catcher(smtp_port, url, tmp_path / "mail", supervisor)


def mail(to: str = "alice@example.org", number: int = 1) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "tickets@example.org", to
    message["Subject"], message["Message-ID"] = "Your tickets für heute", f"<{number}@usher>"
    message.set_content("Row 1, seat 7 <script>alert(1)</script>")
    message.add_alternative('<p>Row 1</p><img src="cid:code"><script>alert(2)</script>', "html")
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(b"PICTURE", "image", "png", cid="<code>")  # type: ignore[union-attr]
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="ticket.pdf")
    return message


def test_it_keeps_and_counts_mail(catcher: Catcher) -> None:
    catcher.send(mail("alice@example.org", 1))
    catcher.send(mail("Alice@example.org", 1))
    catcher.send(mail("bob@example.org", 2))
    counts = {"messages": 3, "distinct_message_ids": 2, "recipients": 2}
    assert catcher.get("/count").json() == counts
    found = catcher.get("/messages?to=alice@example.org").json()
    assert [(m["subject"], m["message_id"]) for m in found] == [
        ("Your tickets für heute", "<1@usher>"),
        ("Your tickets für heute", "<1@usher>"),
    ]
    assert len(list(catcher.directory.glob("*.eml"))) == 3


def test_it_still_has_its_mail_after_a_crash(catcher: Catcher) -> None:
    catcher.send(mail("alice@example.org", 1))
    catcher.supervisor.kill("catcher")
    catcher.supervisor.wait_for("catcher", starts=2)
    catcher.supervisor.wait_for_http("catcher", f"{catcher.url}/readyz")
    catcher.send(mail("bob@example.org", 2))
    assert catcher.get("/count").json()["messages"] == 2
    assert [m["recipients"] for m in catcher.get("/messages").json()] == [
        ["bob@example.org"],
        ["alice@example.org"],
    ]


def test_its_pages_show_a_mail_without_running_it(catcher: Catcher) -> None:
    catcher.send(mail())
    (message,) = catcher.get("/messages").json()
    assert f"/messages/{message['id']}" in catcher.get("/").text
    page = catcher.get(f"/messages/{message['id']}")
    assert "<script>" not in page.text
    assert "Row 1, seat 7 &lt;script&gt;" in page.text
    assert "data:image/png;base64,UElDVFVSRQ==" in page.text
    assert "<iframe sandbox " in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert catcher.get(f"/messages/{message['id']}/parts/0").content == b"%PDF"
    assert (
        b"X-Envelope-To: alice@example.org" in catcher.get(f"/messages/{message['id']}/raw").content
    )
    assert catcher.get("/messages/../../secret").status_code == 404


def test_it_forgets_all_mail_on_request(catcher: Catcher) -> None:
    catcher.send(mail())
    assert requests.delete(f"{catcher.url}/messages", timeout=5).status_code == 204
    assert catcher.get("/count").json()["messages"] == 0
    assert not list(catcher.directory.iterdir())


def test_it_refuses_mail_on_request(catcher: Catcher) -> None:
    catcher.set_faults(reject_rate=1, reply="550")
    with pytest.raises(smtplib.SMTPDataError) as refused:
        catcher.send(mail())
    assert refused.value.smtp_code == 550
    assert catcher.get("/count").json()["messages"] == 0
    catcher.set_faults()
    catcher.send(mail())
    assert catcher.get("/count").json()["messages"] == 1


def test_it_keeps_a_mail_and_leaves_its_sender_in_doubt_on_request(catcher: Catcher) -> None:
    catcher.set_faults(drop_rate=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        catcher.send(mail())
    assert catcher.get("/count").json()["messages"] == 1


def test_it_refuses_faults_that_it_does_not_know(catcher: Catcher) -> None:
    answer = requests.post(f"{catcher.url}/faults", json={"rate": 1}, timeout=5)
    assert (answer.status_code, answer.text) == (400, "unknown faults: rate")
