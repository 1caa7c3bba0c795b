"""What mails say."""

from email.message import EmailMessage
from typing import Any
from uuid import UUID

from tests.support.running import Running


def body(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def parts(mail: Any) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    return str(text.get_content()), str(html.get_content())


def templates(running: Running, booking: UUID) -> list[str]:
    """Of the mails that a booking's buyer got, or will get."""
    query = "select template from emails where booking_id = %s order by created_at"
    return [row["template"] for row in running.conn.execute(query, [booking])]
