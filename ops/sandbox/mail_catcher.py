"""A mail catcher: accepts every mail over SMTP, keeps it as a file, shows it on a page.

    python -m ops.sandbox.mail_catcher --smtp-port 2525 --http-port 8025 --dir var/mail

    GET /                       the mailbox, `?to=` filters      GET /messages/{id}   one mail
    GET /messages?to=           the same as JSON                 GET /messages/{id}/raw, …/parts/{n}
    GET /count                  {messages, distinct_message_ids, recipients}
    DELETE /messages            forget and remove all
    GET, POST /faults           {reject_rate, reply, drop_rate, latency_ms}: see Faults
    GET /readyz                 200 as soon as SMTP is open

One process, one event loop: about 1 ms of CPU a mail.
"""

import argparse
import asyncio
import base64
import random
import secrets
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session
from jinja2 import Environment, FileSystemLoader

from ops.sandbox.mail_files import ENVELOPE_TO, SUFFIX

MAX_BYTES = 20 * 2**20
PAGE_LENGTH = 200
# A mail's HTML is not trusted: it is shown without scripts, forms or remote content.
CONTENT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-src 'self'; "
    "base-uri 'none'; form-action 'self'"
)


@dataclass
class Faults:
    """Faults on purpose. Rates are probabilities from 0 to 1.

    `reject_rate` of the mails is answered with `reply` and not kept. `drop_rate` of the others is
    kept, but the connection is cut before the answer, so that the sender cannot know. Every answer
    is delayed by `latency_ms`.
    """

    reject_rate: float = 0.0
    reply: str = "451"
    drop_rate: float = 0.0
    latency_ms: float = 0.0


@dataclass(frozen=True)
class Mail:
    """What the list shows of a mail; the rest is in the file `<id>.eml`."""

    id: str
    recipients: tuple[str, ...]
    sender: str
    subject: str
    message_id: str
    size: int


class Mailbox:
    """The mails of one directory, in the order in which they came."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        files = sorted(directory.glob(f"*{SUFFIX}"))
        self.mails = {path.stem: read_summary(path.stem, path.read_bytes()) for path in files}
        self._next = 1 + max((int(path.stem.split("-")[0]) for path in files), default=0)

    def keep(self, content: bytes, recipients: Iterable[str]) -> Mail:
        """Write a mail to a file atomically."""
        whole = f"{ENVELOPE_TO}: {', '.join(recipients)}\r\n".encode() + content
        mail = read_summary(f"{self._next:08d}-{secrets.token_hex(4)}", whole)
        self._next += 1
        unfinished = self.directory / f"{mail.id}.part"
        unfinished.write_bytes(whole)
        unfinished.rename(self.path(mail.id))
        self.mails[mail.id] = mail
        return mail

    def path(self, mail_id: str) -> Path:
        return self.directory / f"{mail_id}{SUFFIX}"

    def to(self, recipient: str) -> list[Mail]:
        """Mails to an address, or all of them without one; newest first."""
        wanted = recipient.strip().lower()
        return [m for m in reversed(self.mails.values()) if not wanted or wanted in m.recipients]

    def count(self) -> dict[str, int]:
        return {
            "messages": len(self.mails),
            "distinct_message_ids": len({mail.message_id for mail in self.mails.values()}),
            "recipients": len({to for mail in self.mails.values() for to in mail.recipients}),
        }

    def clear(self) -> None:
        for mail_id in list(self.mails):
            self.path(mail_id).unlink(missing_ok=True)
            del self.mails[mail_id]


def read_summary(mail_id: str, content: bytes) -> Mail:
    headers = BytesHeaderParser(policy=policy.compat32).parsebytes(content)
    recipients = str(headers.get(ENVELOPE_TO, ""))
    return Mail(
        id=mail_id,
        recipients=tuple(address.strip().lower() for address in recipients.split(",")),
        sender=str(headers.get("From", "")),
        subject=decoded(str(headers.get("Subject", ""))),
        message_id=str(headers.get("Message-ID", "")) or mail_id,
        size=len(content),
    )


def decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError):  # an unknown or wrong charset: show the raw text
        return value


class Receiver:
    """aiosmtpd's handler."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self.mailbox, self.faults = mailbox, faults

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.faults.latency_ms / 1000)
        if random.random() < self.faults.reject_rate:
            return f"{self.faults.reply} refused by a fault of the mail catcher"
        mail = self.mailbox.keep(envelope.original_content or b"", envelope.rcpt_tos)
        if random.random() < self.faults.drop_rate and server.transport:
            cast(asyncio.Transport, server.transport).abort()
        return f"250 kept as {mail.id}"


class Pages:
    """The HTTP side."""

    def __init__(self, mailbox: Mailbox, faults: Faults) -> None:
        self.mailbox, self.faults = mailbox, faults
        folder = FileSystemLoader(Path(__file__).parent)
        self.template = Environment(loader=folder, autoescape=True).get_template(
            "mail_catcher.html"
        )

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self.show_mailbox),
                web.get("/messages", self.list_mails),
                web.delete("/messages", self.clear),
                web.get("/messages/{id}", self.show_mail),
                web.get("/messages/{id}/raw", self.show_source),
                web.get("/messages/{id}/parts/{part}", self.download_part),
                web.get("/count", self.count),
                web.get("/faults", self.show_faults),
                web.post("/faults", self.set_faults),
                web.get("/readyz", self.count),
            ]
        )
        return app

    async def show_mailbox(self, request: web.Request) -> web.Response:
        recipient = request.query.get("to", "")
        mails = self.mailbox.to(recipient)
        return self._page(mails=mails[:PAGE_LENGTH], found=len(mails), to=recipient)

    def _page(self, **values: Any) -> web.Response:
        text = self.template.render(count=self.mailbox.count(), **values)
        headers = {"Content-Security-Policy": CONTENT_POLICY}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def list_mails(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(m) for m in self.mailbox.to(request.query.get("to", ""))])

    async def clear(self, request: web.Request) -> web.Response:
        self.mailbox.clear()
        return web.Response(status=204)

    async def show_mail(self, request: web.Request) -> web.Response:
        mail, content = self._find(request)
        parsed = parse(content)
        plain = parsed.get_body(("plain",))
        return self._page(
            mail=mail,
            text=plain.get_content() if plain else "",
            html=html_with_pictures(parsed),
            parts=[part.get_filename() or "unnamed" for part in parsed.iter_attachments()],
        )

    def _find(self, request: web.Request) -> tuple[Mail, bytes]:
        mail = self.mailbox.mails.get(request.match_info["id"])
        if mail is None:
            raise web.HTTPNotFound(text="there is no such mail; GET /messages lists them")
        return mail, self.mailbox.path(mail.id).read_bytes()

    async def show_source(self, request: web.Request) -> web.Response:
        _, content = self._find(request)
        return web.Response(body=content, content_type="text/plain", charset="utf-8")

    async def download_part(self, request: web.Request) -> web.Response:
        _, content = self._find(request)
        attachments = list(parse(content).iter_attachments())
        number = request.match_info["part"]
        if not number.isdecimal() or int(number) >= len(attachments):
            raise web.HTTPNotFound(text=f"the mail has {len(attachments)} attachments")
        part = attachments[int(number)]
        return web.Response(
            body=part.get_payload(decode=True),
            content_type="application/octet-stream",
            headers={"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"},
        )

    async def count(self, request: web.Request) -> web.Response:
        return web.json_response(self.mailbox.count())

    async def show_faults(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.faults))

    async def set_faults(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        unknown = set(wanted) - {field.name for field in fields(Faults)}
        if unknown:
            raise web.HTTPBadRequest(text=f"unknown faults: {', '.join(sorted(unknown))}")
        for name, value in asdict(Faults(**wanted)).items():
            setattr(self.faults, name, value)
        return await self.show_faults(request)


def parse(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)  # policy.default makes no other
    return message


def html_with_pictures(message: EmailMessage) -> str:
    """The HTML part with its `cid:` pictures as data, since the frame may load nothing."""
    html = message.get_body(("html",))
    if html is None:
        return ""
    text = str(html.get_content())
    for part in message.walk():
        cid = str(part.get("Content-ID", "")).strip("<> ")
        payload = part.get_payload(decode=True)
        if cid and isinstance(payload, bytes):
            data = base64.b64encode(payload).decode()
            text = text.replace(f"cid:{cid}", f"data:{part.get_content_type()};base64,{data}")
    return text


async def serve(smtp_port: int, http_port: int, directory: Path) -> None:
    """Serve on 127.0.0.1 until SIGTERM or Ctrl-C."""
    mailbox, faults = Mailbox(directory), Faults()
    receiver = Receiver(mailbox, faults)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    smtp = await loop.create_server(
        lambda: SMTP(receiver, hostname="catcher", data_size_limit=MAX_BYTES, loop=loop),
        "127.0.0.1",
        smtp_port,
    )
    runner = web.AppRunner(Pages(mailbox, faults).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", http_port).start()
    await stopping.wait()
    smtp.close()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="Catch mail and show it.")
    parser.add_argument("--smtp-port", type=int, default=2525)
    parser.add_argument("--http-port", type=int, default=8025)
    parser.add_argument("--dir", type=Path, default=Path("var/mail"))
    args = parser.parse_args()
    asyncio.run(serve(args.smtp_port, args.http_port, args.dir))


if __name__ == "__main__":
    main()
