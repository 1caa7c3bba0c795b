"""Mails from Jinja templates: <name>.txt, whose first line is the subject, and <name>.html."""

from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from db.emails import Email
from db.settings import settings

ZERO_DECIMAL = {
    *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
    *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
}
"""Currencies whose minor unit is the unit itself, as Stripe lists them."""


def render(mail: Email) -> tuple[str, str, str]:
    """(subject, text, HTML)."""
    values = {"mail": mail, "booking": mail.booking, "seats": mail.seats or [], **mail.context}
    values["link"] = f"{settings().public_url}/v1/events/{mail.event_id}/bookings"
    plain = environment().get_template(f"{mail.template}.txt").render(values)
    subject, _, text = plain.partition("\n")
    html = environment().get_template(f"{mail.template}.html").render(values, subject=subject)
    return subject, text.lstrip("\n"), html


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"money": money, "moment": moment, "seat": seat}
    return made


def money(amount: int, currency: str) -> str:
    """Minor units as people read them: 4950 EUR is "49.50 EUR", 4950 JPY is "4,950 JPY"."""
    if currency in ZERO_DECIMAL:
        return f"{amount:,} {currency}"
    return f"{amount // 100:,}.{amount % 100:02d} {currency}"


def moment(value: str, time_zone: str) -> str:
    """An ISO timestamp as the event's clock shows it."""
    local = datetime.fromisoformat(value).astimezone(ZoneInfo(time_zone))
    return f"{local:%A %-d %B %Y, %H:%M} ({time_zone})"


def seat(place: dict[str, str]) -> str:
    """ "Stalls, row C, seat 12"; standing places have no number, and some rows no name."""
    row = f"row {place['row']}" if place["row"] else ""
    number = f"seat {place['number']}" if place["number"] else ""
    return ", ".join(part for part in (place["zone"], row, number) if part)
