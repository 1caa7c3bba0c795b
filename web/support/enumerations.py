"""Enumerations of the API: the words that a field may have, and what each means.

They are named in the OpenAPI document, so that a generated client has one type for each. A test
holds those of the tables' CHECKs equal to them.
"""

import re
from typing import NamedTuple
from zoneinfo import available_timezones

from db.accounts.rights import OF_KEYS, OF_STAFF, OPERATOR, ROLES
from db.feed.messages import TYPES
from db.presentation.gateway_words import FAILURES


class Enumeration(NamedTuple):
    """name: in the document; about: all words, where they explain themselves."""

    name: str
    words: dict[str, str]
    about: str = ""

    @property
    def description(self) -> str:
        told = "; ".join(f"`{word}`: {meaning}" for word, meaning in self.words.items())
        return self.about or told

    @property
    def names(self) -> list[str]:
        """Names for constants of generated clients: GMT+1 and GMT-1 are two."""
        signed = [re.sub(r"([+-])(?=\d)", lambda sign: SIGNS[sign[1]], word) for word in self.words]
        return [re.sub(r"\W+", "_", word).upper() for word in signed]


SIGNS = {"+": "_PLUS_", "-": "_MINUS_"}

TIME_ZONE = Enumeration(
    "TimeZone",
    # Two names of the database's files name no zone.
    dict.fromkeys(sorted(available_timezones() - {"localtime", "Factory"}), ""),
    "a name of the IANA time zone database",
)
CARRIER = Enumeration(
    "SessionCarrier", {"bearer": "a program, as a bearer token", "cookie": "a browser"}
)
AUTHENTICATED_BY = Enumeration(
    "AuthenticatedBy",
    {
        "sign_up": "the account was made",
        "code": "a code by mail",
        "link": "a link by mail",
        "password": "the account's password",
        "passkey": "a passkey",
        "oidc": "an organisation's identity provider",
    },
)
EXPORT_STATE = Enumeration(
    "ExportState",
    {
        "none": "it was not asked for, or is deleted",
        "writing": "a task writes it; a mail tells when it is ready",
        "ready": "its parts can be read",
    },
)
ERASURE_STATE = Enumeration(
    "ErasureState",
    {
        "none": "it was not requested",
        "erased": "the person's data are gone",
        "postponed": "something is under way; it is done when that has ended",
    },
)
ERASURE_REASON = Enumeration(
    "ErasureReason",
    {
        "booking_under_way": "seats are held or being paid",
        "waiting_in_a_queue": "a place in a queue may still get seats",
        "payment_under_way": "the gateway has not said what became of a payment",
        "money_owed": "a refund is on its way, or failed and is owed",
        "dispute_open": "the bank may ask about a payment",
        "ticket_valid": "a ticket is for an event that is not over",
        "member": "the person works in an organisation",
    },
)
EVENT_STATE = Enumeration(
    "EventState",
    {
        "draft": "only its organisation sees it",
        "on_sale": "announced, and on sale between on_sale_at and off_sale_at",
        "closed": "the sale has ended; bookings continue",
        "cancelled": "for good: bookings are refunded",
    },
)
ENTRY_STATE = Enumeration(
    "EntryState",
    {
        "lobby": "waits for the draw",
        "waiting": "waits for its turn",
        "standby": "no seats are free now; it gets some if holds expire",
        "admitted": "has the offer of a pass: see pass_state",
        "booked": "see booking_id",
        "unavailable": "got nothing: see reason",
        "left": "its buyer left",
        "lapsed": "its pass was not used in time",
    },
)
PASS_STATE = Enumeration(
    "PassState",
    {
        "offered": "take it before pass_until",
        "taken": "seats can be chosen with it until pass_until",
        "missed": "it was not taken in time, and can still be asked for until pass_until",
    },
)
SALE = Enumeration(
    "Sale",
    {
        "soon": "the sale has not begun",
        "open": "entries are served",
        "paused": "buyers can join, but no entry is served",
        "all_held": "no seat is free, but holds may still expire",
        "sold_out": "no seat is free, and none is held",
        "over": "the sale has ended",
    },
)
STATE_HINT = Enumeration(
    "StateHint",
    {"waiting": "nothing has changed", "look": "read your entry after poll_after_s"},
)
BOOKING_STATE = Enumeration(
    "BookingState",
    {
        "held": "waits for the payment until the deadline",
        "authorising": "is being paid",
        "expiring": "its payment is being stopped, then it ends",
        "review": "a person decides about the payment",
        "secured": "the money is sure; the tickets follow within seconds",
        "confirmed": "paid, or free: the tickets are valid",
        "frozen": "the payment is disputed or reported as fraud: the tickets are on hold",
        "expired": "it was not paid in time",
        "cancelled": "by the buyer, by the organisation, or with the event",
        "failed": "the payment was refused for good",
    },
)
PAYMENT_STATE = Enumeration(
    "PaymentState",
    {
        "intended": "not at the gateway yet",
        "requires_action": "the buyer has to act: see next_action",
        "processing": "the gateway is working on it",
        "authorised": "the money is reserved",
        "captured": "the money is taken",
        "failed": "nothing was charged",
        "unknown": "the gateway's answer was lost, and is asked for",
        "voided": "given up; nothing was charged",
    },
)
METHOD = Enumeration(
    "PaymentMethod",
    {
        "card": "a card or wallet",
        "sepa_debit": "SEPA direct debit, sure after days",
        "us_bank_account": "ACH debit, sure after days",
        "ideal": "iDEAL",
        "bancontact": "Bancontact",
        "eps": "EPS",
        "p24": "Przelewy24",
        "twint": "TWINT",
        "blik": "BLIK",
    },
)
"""The gateway's payment methods, in its words; events.payment_methods has the same list."""

ANY_METHOD = Enumeration(
    "AnyPaymentMethod", METHOD.words | {"offline": "at the box office or by bank transfer"}
)
FAILURE = Enumeration("PaymentFailure", FAILURES)
REFUND_STATE = Enumeration(
    "RefundState",
    {
        "pending": "on its way",
        "succeeded": "paid back; it can still fail later",
        "failed": "the money did not arrive: it is owed until it is retried or settled",
    },
)
REFUND_CAUSE = Enumeration(
    "RefundCause",
    {
        "asked": "requested by the organisation",
        "event_cancelled": "the event was cancelled",
        "given_back": "by the buyer, since the event was postponed",
        "odd_money": "an unexpected payment",
        "dashboard": "made at the gateway",
    },
)
SURPLUS_DECISION = Enumeration(
    "SurplusDecision",
    {"refunded": "it was paid back", "kept": "the organisation keeps it, by agreement"},
)
TICKET_STATE = Enumeration(
    "TicketState",
    {
        "valid": "admits its bearer",
        "void": "refunded or cancelled",
        "on_hold": "the booking is frozen",
    },
)
RECEIPT_LINE = Enumeration(
    "ReceiptLineKind", {"ticket": "a seat", "booking_fee": "the fee of the booking itself"}
)
RECEIPT_KIND = Enumeration(
    "ReceiptKind",
    {
        "receipt": "of a booking that was paid",
        "credit_note": "of a refund; its amounts are negative",
        "reversal": "takes a credit note back, since its refund failed",
    },
)
FEED_TYPE = Enumeration("FeedType", TYPES)
SEAT_AFTER_RETURN = Enumeration(
    "SeatAfterReturn",
    {"free": "it is sold again", "blocked": "the organisation keeps it from being sold"},
)
HAPPENING = Enumeration(
    "HappeningKind",
    {
        "queue": "the buyer joined the queue, or it was the buyer's turn",
        "booking": "another state of the booking",
        "payment": "another state of an attempt to pay",
        "refund": "another state of a refund",
        "ticket": "a ticket was issued, or became void",
        "mail": "a mail was written, or what became of it",
        "receipt": "a document was issued",
        "act": "what your people, an operator or a task did",
    },
)
LOBBY_STATE = Enumeration(
    "LobbyState",
    {
        "announced": "it has not opened",
        "open": "buyers can join",
        "closing": "its list is being fixed",
        "closed": "its list is published",
        "drawing": "the public value is known",
        "drawn": "numbers are given out",
    },
)
DISPUTE_STATE = Enumeration(
    "DisputeState",
    {
        "warning_needs_response": "an inquiry waits for the organisation",
        "warning_under_review": "the bank looks at the answer to an inquiry",
        "warning_closed": "the inquiry ended without a dispute",
        "needs_response": "waits for the organisation",
        "under_review": "the bank looks at the answer",
        "won": "the money stays",
        "lost": "the buyer has the money back",
        "prevented": "it was settled before it became a dispute",
    },
)
DECISION = Enumeration(
    "ReviewDecision",
    {
        "approve": "the payment is captured",
        "reject": "the payment is voided, and the seats are free",
    },
)
RULE_ACTION = Enumeration(
    "RuleAction",
    {"review": "a payment above the limit is reviewed", "none": "the rule is switched off"},
)
REVIEW_RULE = Enumeration(
    "ReviewRuleName",
    {
        "buyer_attempts": "attempts to pay by one buyer",
        "buyer_seats": "seats booked by one buyer",
        "buyer_declines": "declined payments of one buyer",
        "card_buyers": "buyers that paid with one card",
        "card_bookings": "bookings paid with one card",
        "card_declines": "declined payments with one card",
        "address_buyers": "buyers that paid from one address",
        "address_declines": "declined payments from one address",
        "gateway_review": "the gateway wants a review",
        "risk_level": "the gateway's level: 0 normal, 1 elevated, 2 highest",
    },
)
PLAN_WARNING = Enumeration(
    "PlanWarningKind",
    {
        "doubled_label": "two seats are printed as one place",
        "unknown_key": "a key of the file is not read",
        "no_focal_point": "the file has no focal point",
        "empty_category": "a category has no seats",
        "outside_drawing": "a seat lies outside of the size",
        "same_point": "two seats lie on one point",
        "guessed_flags": "flags are taken from a category's name",
        "lonely_companion": "a companion's place has no wheelchair place beside it",
    },
)
IMPORT_STATE = Enumeration(
    "PlanImportState",
    {
        "waiting": "for a worker",
        "reading": "it is being read, then stored",
        "done": "the version is there: see version",
        "failed": "nothing was stored: see problem",
    },
)
FOCAL_SOURCE = Enumeration(
    "FocalPointSource",
    {
        "plan": "given in the file",
        "stage": "worked out from an area that is called stage",
        "bends": "worked out from rows that bend",
        "rows": "worked out from the numbers of rows",
        "middle": "the middle of all seats",
    },
)
PICTURE = Enumeration(
    "PictureColor",
    {
        "both": "both pictures",
        "category": "by category",
        "rank": "by what is sold first in each category",
    },
)
TASK_STATE = Enumeration(
    "TaskState",
    {
        "due": "can be run now",
        "leased": "a worker has it",
        "waiting": "is run later",
    },
)
TASK_FILTER = Enumeration(
    "TaskFilter", TASK_STATE.words | {"failing": "tried without success, whatever its state"}
)
ATTEMPT_KIND = Enumeration(
    "AttemptKind",
    {
        "failed": "it raised an error",
        "died": "its worker died, or was too slow",
        "later": "it had to wait, which is no failure",
    },
)
LETTER_FILTER = Enumeration(
    "DeadLetterFilter",
    {
        "open": "not resolved",
        "resolved": "retried, discarded, or its task succeeded",
        "all": "both",
    },
)
RETRY_OUTCOME = Enumeration(
    "RetryOutcome",
    {"retried": "as a new task", "hastened": "its task still exists, and runs now"},
)
MAIL_STATE = Enumeration(
    "MailState",
    {
        "pending": "on its way",
        "sent": "the mail server accepted it",
        "skipped": "it was not true any more when it should have been sent",
        "failed": "the mail server refused it for good",
    },
)
MAIL_FILTER = Enumeration(
    "MailFilter", {word: MAIL_STATE.words[word] for word in ("failed", "pending")}
)
MAIL_TEMPLATE = Enumeration(
    "MailTemplate",
    {
        "sign_in": "a code for signing in",
        "old_address": "a code that confirms another address, to the old one",
        "new_address": "a code that confirms another address, to the new one",
        "address_left": "the address was changed, to the old one",
        "address_changed": "the address was changed, to the new one",
        "merge": "a code that lets another account take this one over",
        "held": "a reminder to pay",
        "pay_offline": "how to pay offline",
        "partly_paid": "a part of the money came, and the rest is asked for",
        "overpaid": "more money came than the booking takes",
        "surplus_refunded": "what was too much went back",
        "surplus_kept": "what was too much is kept",
        "in_review": "the payment is in review",
        "being_checked": "the payment is in doubt",
        "confirmed": "the tickets",
        "expired": "not paid in time",
        "failed": "the payment failed",
        "cancelled": "the booking was cancelled",
        "not_approved": "the payment was rejected in a review",
        "event_cancelled": "the event was cancelled",
        "postponed": "the event was postponed: keep the booking or give it back",
        "refunded": "a refund is on its way",
        "refund_failed": "a refund failed",
        "money_returned": "an unexpected payment goes back",
        "frozen": "the tickets are on hold",
        "unfrozen": "the tickets are valid again",
        "invited": "an invitation into an organisation",
        "factor_reset": "a second factor will be reset",
        "export_ready": "the personal data that were asked for are ready",
        "sign_in_changed": "a way to sign in or to give a second factor has changed",
        "dispute_lost": "the dispute has ended, and the tickets are void",
    },
)
ACCOUNT_MODE = Enumeration(
    "GatewayMode", {"live": "money moves", "test": "nothing is paid: for events in test mode"}
)
ACCOUNT_ACCESS = Enumeration(
    "GatewayAccess",
    {
        "platform": "the platform's own account, which organisations share",
        "connected": "an account of the organisation, connected to the platform's",
        "own_keys": "an account of the organisation, with a key of its own",
    },
)
ACCOUNT_STATE = Enumeration(
    "GatewayAccountState",
    {
        "checking": "the gateway is being asked whose account it is",
        "active": "it can take money",
        "refused": "it cannot be used: see refusal",
    },
)
PAYOUT_STATE = Enumeration(
    "PayoutState",
    {
        "pending": "the gateway prepares it",
        "in_transit": "on its way to the bank",
        "paid": "at the bank",
        "failed": "the bank sent it back: see failure",
        "canceled": "the gateway gave it up",
    },
)
AWAY_REASON = Enumeration(
    "GatewayAwayReason",
    {
        "away": "the gateway does not answer",
        "key_refused": "the gateway does not accept the key, or the platform, for this account",
    },
)
RUN_CAUSE = Enumeration(
    "ReconciliationCause",
    {"recent": "every hour, the last day", "daily": "a longer window", "asked": "by an operator"},
)
RUN_STATE = Enumeration(
    "ReconciliationState",
    {"running": "at work", "finished": "all was compared", "abandoned": "it did not end in time"},
)
RUN_PHASE = Enumeration(
    "ReconciliationPhase",
    {
        "payments": "the gateway's payments",
        "refunds": "the gateway's refunds",
        "disputes": "the gateway's disputes",
        "our payments": "payments that the gateway did not list",
        "our refunds": "refunds that the gateway did not list",
        "our disputes": "disputes that the gateway did not list",
    },
)
REPORT = Enumeration(
    "ReportName",
    {
        "occupancy": "seats by zone and category",
        "revenue": "money by currency",
        "sales": "sales by hour and category",
        "waits": "how long entries waited, by their outcome",
    },
)
KEY_ROLE = Enumeration("ApiKeyRole", {role: ROLES[role] for role in OF_KEYS if role != OPERATOR})
STAFF_ROLE = Enumeration("StaffRole", {role: ROLES[role] for role in OF_STAFF})
MEMBER_ROLE = Enumeration("MemberRole", {role: ROLES[role] for role in (*OF_STAFF, OPERATOR)})
