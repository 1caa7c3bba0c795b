"""Texts of the OpenAPI document: about the API, its keys, and what means the same wherever it
stands."""

from typing import Any

from web.support.cookies import NAME

ABOUT = """\
Sells every seat exactly once.

**Amounts** are integers in the currency's smallest unit (cents), tax included. **Times** are RFC
3339 with an offset. **Ids** are integers or UUIDs, and never change. Unknown fields of a request
are refused; answers may get new fields, and new words of enumerations.

**Errors** are `application/problem+json` (RFC 9457). A body that is not JSON is refused with 415
everywhere. Programs look at `status`, then at `conflict_reason`; people read `detail`.

**Repeating:** requests that change something take an `Idempotency-Key`. The same key with the same
request changes nothing more and gets the same answer, with `Idempotent-Replayed: true`.

**Lists** come in pages: `limit` and `starting_after`, and a `Link` header with `rel="next"`.

**Waiting:** answers that say `poll_after_s` are polled; the streams tell the same as it happens.
"""

SCHEMES: dict[str, Any] = {
    "buyer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token of a session, from POST /v1/accounts or POST /v1/tokens: good "
        "for an hour. POST /v1/tokens/refresh gives the next one.",
    },
    "session_cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": NAME,
        "description": "The same session in a browser, from a sign-in with `carrier` cookie. What "
        "changes something needs the header `X-CSRF-Token`, and the page's own `Origin`. A bearer "
        "token wins over it.",
    },
    "queue_ticket": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `ticket` of an entry: it allows reading the place in one queue.",
    },
    "queue_ticket_in_query": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "The same, for browsers' EventSource, which cannot send headers.",
    },
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "usk_…",
        "description": "An API key of an organisation, for what its role "
        "may (x-right), or an operator's.",
    },
    "operator_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "usk_…",
        "description": "An operator's API key.",
    },
    "staff": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token of a member's session. With several memberships the header "
        "Usher-Organisation names one (`platform`: the operator's). Roles that need a second "
        "factor are open where it was given (POST /v1/me/second-factor/check); what is dangerous, "
        "for ten minutes after it.",
    },
    "staff_cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": NAME,
        "description": "The same session in a browser: see session_cookie.",
    },
    "gateway_signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Stripe-Signature",
        "description": "t=…,v1=…: the gateway's signature of the time and the bytes of the body.",
    },
}

PATHS = {
    "event_id": "the event's id",
    "booking_id": "the booking's id",
    "entry_id": "the id of your entry in the queue",
    "ticket_id": "the ticket's id",
    "refund_id": "the refund's id",
    "transfer_id": "the transfer's id",
    "account_id": "the account's id, the buyer_id elsewhere",
    "venue_id": "the venue's id",
    "plan_id": "the plan's id",
    "import_id": "the id of the plan's import",
    "version_id": "the id of the plan's version (`version_id`), not its number",
    "organisation_id": "the organisation's id",
    "session_id": "the session's id",
    "passkey_id": "the passkey's id",
    "key_id": "the API key's id",
    "membership_id": "the membership's id",
    "invitation_id": "the invitation's id",
    "letter_id": "the dead letter's id",
    "reconciliation_id": "the run's id",
}
"""By the parameter's name."""

FIELDS = {
    "gateway_account_id": "the id of the account at the gateway, as Usher has it",
    "event_id": "the event's id",
    "booking_id": "the booking's id",
    "buyer_id": "the buyer's id",
    "payment_id": "the id of the attempt to pay",
    "venue_id": "the venue's id",
    "organisation_id": "the organisation's id",
    "plan_version_id": "the id of a plan's version, which says what seats there are",
    "booking_code": "the booking's code, as buyers quote it",
    "booking_state": "the booking's state",
    "time_zone": "a name of the IANA time zone database, as in Europe/Berlin",
    "currency": "ISO 4217, as in EUR",
    "guid": "the seat's id in its plan",
    "zone": "the zone's name, as printed",
    "row": "the row's name, as printed",
    "number": "the seat's number, as printed",
    "row_label": 'how the row is printed, as in "Table 7"; empty: "row " and its name',
    "created_at": "when it was made",
    "updated_at": "when it last changed",
    "starts_at": "when the event begins",
    "on_sale_at": "when the sale begins",
    "off_sale_at": "when the sale ends",
    "server_time": "the service's clock, to compare yours with",
    "limit": "how many rows a page has at most",
    "x": "to the right, in the plan's units",
    "y": "downwards, in the plan's units",
    "price_type": "the number of the price type, as adult or reduced: 1, there is one today",
    "area": "the number of the area in which the seat is: 1, there is one today",
    "color": "as in #2d6cdf",
    "version": "the version's number: 1, 2, 3 …",
}
"""By the field's name, where it has no description of its own."""
