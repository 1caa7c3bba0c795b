"""The catalogue of the feed's messages: their types, and the version of what they hold.

sql/functions/feed/feed_news.sql writes them, web/api/feed.py describes their `data`. Fields may be
added to a version; one that is taken away or gets another meaning needs the next VERSION and a
migration that raises the default of feed_messages.version. They hold ids, figures and words of
Usher, and never names, addresses or words of persons.
"""

from datetime import datetime
from typing import Any, TypedDict

VERSION = 1

ENTRY = {
    "entry.joined": "it stands in the queue or the lobby",
    "entry.numbered": "it has a number, or another one: the lobby was drawn",
    "entry.waiting": "it waits again for its turn",
    "entry.standby": "it waits for seats that may come back",
    "entry.admitted": "it is offered a pass to choose seats",
    "entry.unavailable": "there was nothing for it; see reason",
    "entry.left": "its buyer has left the queue",
    "entry.lapsed": "its pass was not taken or not used in time",
}
"""An entry that gets seats is told by the booking's first message, which names it."""

BOOKING = {
    "booking.held": "seats are held for an entry of the queue or a buyer, who has yet to pay",
    "booking.authorising": "it is being paid",
    "booking.reopened": "the payment has failed: its seats are still held",
    "booking.review": "a person decides about the payment",
    "booking.secured": "its seats cannot expire any more",
    "booking.confirmed": "it is paid or free: its seats are sold, its tickets issued",
    "booking.frozen": "a dispute or a fraud warning: its tickets are not valid for now",
    "booking.unfrozen": "its tickets are valid again",
    "booking.expiring": "its time is over, and the payment is stopped first",
    "booking.expired": "its time is over: its seats are free",
    "booking.cancelled": "it was given up, and its seats are free; or its last ticket was returned",
    "booking.failed": "it could not be paid: its seats are free",
}

SEATS_RETURNED = {
    "booking.seats_returned": "tickets were returned and are void; their seats are free or blocked",
}

PAYMENT = {
    "payment.intended": "an attempt to pay has begun",
    "payment.requires_action": "the buyer has to do something at the bank",
    "payment.processing": "the bank works on it, which may take days",
    "payment.unknown": "the gateway has not said what became of it; it is found out",
    "payment.authorised": "the money is reserved",
    "payment.captured": "the money was taken",
    "payment.failed": "it was declined or refused",
    "payment.voided": "it was called back before money was taken",
}

REFUND = {
    "refund.pending": "it was asked for",
    "refund.succeeded": "the gateway has accepted it, or the organiser has paid it",
    "refund.failed": "the money could not be given back, and is owed",
}

SEATS = {
    "seats.blocked": "the organisation keeps seats from being sold",
    "seats.unblocked": "they are free again",
}

TYPES = {**ENTRY, **BOOKING, **SEATS_RETURNED, **PAYMENT, **REFUND, **SEATS}


class Message(TypedDict):
    """A message. number: its place in the feed; timestamp: when it happened; livemode: False: of
    an event in test mode."""

    number: int
    type: str
    version: int
    timestamp: datetime
    livemode: bool
    event_id: int
    data: dict[str, Any]
