"""Mails from Jinja templates: <name>.txt, whose first line is the subject, and <name>.html."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    pass_context,
    select_autoescape,
)
from jinja2.runtime import Context

from db.mail.emails import Email
from db.presentation.amounts import written
from db.presentation.moments import moment
from db.presentation.texts import on_one_line
from db.runtime.settings import settings

TEST = "TEST: this event does not take place, and nothing was paid."


def render(mail: Email) -> tuple[str, str, str]:
    """Render a mail as (subject, text, HTML)."""
    values = {"mail": mail, "booking": mail.booking, "seats": mail.seats or [], **mail.context}
    values["public_url"] = settings().public_url.rstrip("/")
    is_test = mail.booking is not None and mail.booking.get("is_test")
    values["test"] = TEST if is_test else ""
    values["link"] = f"{settings().public_url}/v1/events/{mail.event_id}/bookings"
    plain = environment().get_template(f"{mail.template}.txt").render(values)
    subject, _, text = plain.partition("\n")
    html = environment().get_template(f"{mail.template}.html").render(values, subject=subject)
    text = text.lstrip("\n")
    if is_test:
        return f"TEST {subject}", f"{TEST}\n\n{text}", html
    return subject, text, html


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        finalize=tidy,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"money": money, "moment": moment, "seat": seat, "percent": percent}
    made.filters["paragraphs"] = Several
    return made


class Several(str):
    """A text that may have several lines."""


def tidy(value: Any) -> Any:
    """Put every text that a template writes on one line, unless the template says that it may have
    several. Texts of old rows came in before there was a rule for them."""
    return on_one_line(value) if type(value) is str else value


@pass_context
def money(context: Context, amount: int, code: str) -> str:
    """An amount as people read it; the plain number for a currency without sales."""
    currency = context["mail"].currencies.get(code)
    return written(amount, currency) if currency else f"{amount} {code} (smallest units)"


def percent(rate: float) -> str:
    """0.19 is "19 %"."""
    return f"{rate * 100:.3f}".rstrip("0").rstrip(".") + " %"


def seat(place: dict[str, str]) -> str:
    """ "Stalls, row C, seat 12", or "Stalls, Table 7, seat 2" where the plan says how rows
    are printed; standing places have no number, and some rows no name."""
    row = place.get("row_label") or (f"row {place['row']}" if place["row"] else "")
    number = f"seat {place['number']}" if place["number"] else ""
    return ", ".join(part for part in (place["zone"], row, number) if part)
