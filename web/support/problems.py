"""Problems (RFC 9457) as the OpenAPI document describes them: members, reasons, and which statuses
an operation may answer.

The statuses follow from what an operation has: who may call it, parameters, body, key. Conflicts
are named by its view (Blueprint.conflicts), since they follow from nothing else.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from marshmallow import INCLUDE, fields

from web.support.enumerations import Enumeration
from web.support.fields import Answer, OneOf, StrictInteger

REASON = Enumeration(
    "ConflictReason",
    {
        "account_exists": "the e-mail address has an account",
        "account_open": "the account is not closed, or its data were erased",
        "address_changed": "the address, or what it should become, was changed since",
        "address_not_verified": "sign in by a mailed code first",
        "after_start": "it is later than the beginning of the event",
        "already_answered": "the answer held a secret, and was not kept",
        "already_cancelled": "the event was cancelled before",
        "already_erased": "the personal data are erased",
        "already_member": "the person is a member of the organisation",
        "already_paid": "the booking is marked as paid under another reference",
        "already_released": "the places kept for wheelchairs are released",
        "already_resolved": "the dead letter is closed",
        "already_waiting": "the buyer is in this queue: see entry_id",
        "amount_not_possible": "the payment method cannot charge the amount",
        "amounts_in_other_currency": "a new currency needs all amounts",
        "archived": "the event is in the archive",
        "begun": "the lobby or the sale has begun",
        "buyers_must_be_told": "use POST …/postponements",
        "cancelled": "the event was cancelled",
        "cannot_be_merged": "the other account is closed, blocked, staff, or the same",
        "cannot_be_retried": "the dead letter has no task that could run again",
        "categories_differ": "the plan version has other categories: see categories",
        "companion_seat": "it is only sold with the wheelchair place beside it",
        "cursor_too_old": "the messages after it were deleted: see oldest",
        "cursor_unknown": "the feed has no such number yet: see last",
        "deadline_passed": "the time to pay is over",
        "connected_already": "the account at the gateway is connected already",
        "decided": "the entry has been decided: read it",
        "disputed": "the buyer's bank has the money",
        "event_needed": "a seat is looked for in one event",
        "event_cancelled": "the event is cancelled: the money comes back",
        "export_not_ready": "there is no export yet, or it is being written",
        "fixed_after_opening": "it stays as it was when the event was opened",
        "full": "too many buyers are paying: try again, or join the queue",
        "hold_too_long": "a hold would outlast the sale or the event",
        "imports_under_way": "as many large plans as may be are being imported: wait for one",
        "in_flight": "the same request is being worked on: try again",
        "invitation_over": "it is for another account, was used or withdrawn, or is too old",
        "kept_seat": "it is kept for wheelchairs and companions",
        "key_ended": "the API key was revoked or has expired",
        "key_reused": "the Idempotency-Key was used for another request",
        "lapsed": "the pass was not used in time: join again",
        "last_owner": "the organisation needs another owner first",
        "lobby_after_sale": "the lobby would close after the sale begins",
        "method_limits": "every booking would cost more than the method can charge",
        "method_not_in_currency": "the method cannot charge the currency",
        "method_too_slow": "the event begins before the payment would be sure",
        "more_than_captured": "more than can be refunded: see available",
        "no_accessible_seats": "not enough places for wheelchairs are free",
        "no_encryption_keys": "this installation cannot seal secrets: its operators set a key",
        "no_host_name": "passkeys need a host name, and PUBLIC_URL is an IP address",
        "no_own_keys": "the account is called with the platform's key",
        "no_public_source": "the lobby is drawn without a public value",
        "no_second_factor": "no second factor is in use",
        "no_surplus": "the booking took all of the transfer",
        "no_such_method": "the event takes no such payment",
        "no_such_tickets": "these are not valid tickets of the booking",
        "no_test_account": "there is no account at the gateway for tests",
        "no_total": "the entry was made without a total to expect",
        "no_venue": "the organisation has no such venue",
        "not_a_draft": "only a draft can be changed so",
        "not_a_member": "the person has no such membership",
        "not_a_multiple": "the currency has no such amount",
        "not_admitted": "no pass is offered to the entry",
        "not_cancellable": "the booking is paid or has ended",
        "not_closed": "the lobby's list is not published",
        "not_confirmed": "the booking has no tickets",
        "not_drawn": "the lobby is not drawn",
        "not_frozen": "the booking is not frozen",
        "not_held": "only a held booking can be paid: see state",
        "not_in_review": "there is nothing to decide",
        "not_later": "it has to be later than it is",
        "not_offline": "the gateway moves this money",
        "not_on_sale": "the event is not on sale",
        "not_open": "the booking does not wait for a payment",
        "not_opened": "the event was never opened",
        "not_owed": "the refund has not failed, or was settled",
        "not_pending": "the refund has ended",
        "not_together": "not enough free seats are side by side",
        "not_postponed": "the event was not postponed since the booking was made",
        "nothing_changes": "the event has this date, time zone and venue",
        "nothing_to_send": "the booking has no mail to send again",
        "only_later": "it can only be later",
        "only_more": "it can only be raised",
        "other_mode": "the key is one of the other mode, live or test",
        "organisation_needed": "several memberships: name one in Usher-Organisation",
        "other_memberships": "the person is a member elsewhere, too",
        "other_payment": "the buyer pays with another attempt now",
        "over_cap": "more seats than a buyer may have",
        "passkey_exists": "the passkey was added before",
        "password_changed": "the password was changed since",
        "partly_paid": "a part has come: record the rest as a transfer",
        "pass_needed": "these seats are sold through the queue",
        "pass_over": "the pass was used, or its time is over",
        "pass_too_small": "the pass is for fewer seats",
        "paused": "the sale is paused",
        "payment_ending": "the payment's time is over: try again in a minute",
        "payment_in_progress": "an earlier attempt is under way",
        "plan_moved": "the event has another plan version now: read its chart",
        "price_changed": "the wish costs another sum: see total",
        "queue": "others are waiting: join the queue",
        "reference_used": "another payment has the reference",
        "reset_requested": "the reset was asked for before",
        "return_url_not_allowed": "it is not below one of the organisation's return_urls",
        "sale_after_start": "the sale would begin after the event",
        "sale_has_begun": "the sale has begun",
        "sale_not_open": "the sale has not begun",
        "sale_over": "the sale has ended",
        "sale_too_long": "the sale would end more than a year after the event",
        "scope_missing": "the key has not the scope `dangerous`",
        "seats_gone": "seats that are booked are not in the plan version: see seats",
        "seats_taken": "a seat is not free: see seats, if given",
        "second_factor_exists": "a second factor is in use",
        "second_factor_needed": "give the second factor in this session",
        "sold_out": "not enough seats are free",
        "starts_in_the_past": "the event would have begun already",
        "still_a_member": "the person works for an organisation, and leaves it first",
        "surplus_decided": "it was decided otherwise before",
        "suspended": "an operator has suspended the organisation",
        "test_event": "the event is a test",
        "terms_not_accepted": "accept_terms has to be true",
        "too_early": "buyers need more time",
        "too_late": "the time to give it back is over: see give_back_until",
        "too_little": "the cheapest booking is less than can be charged",
        "too_many_declines": "too many payments were declined: see retry_after",
        "too_many_passkeys": "the account has as many passkeys as it may have",
        "too_much": "the most expensive booking is more than can be charged",
        "unfinished": "money depends on the task",
        "unfinished_bookings": "the other account waits or has bookings under way",
        "unknown_category": "the event has no such category",
        "unknown_currency": "nothing can be sold in it",
        "unknown_seat": "the event has no such seat",
        "unpaid_holds": "earlier seats were not paid for: try again later",
        "unrelated_plan": "the plan has few seats in common with the version before",
        "value_given": "another public value was given before",
        "wrong_code": "the code is wrong, or was used",
        "wrong_currency": "the booking costs another currency",
        "wrong_money": "the booking costs another amount: see amount and currency",
    },
)


class FieldProblem(Answer):
    """An error of one field."""

    location = fields.String(metadata={"description": "json (the body), query or headers"})
    path = fields.String(
        metadata={"description": "as in categories[0].price; empty: the whole body or query"}
    )
    message = fields.String(metadata={"description": "what is wrong, for a person"})


class Problem(Answer):
    """An error (RFC 9457). Members that do not apply are left out; others may come."""

    class Meta:
        unknown = INCLUDE

    type = fields.String(
        metadata={"description": "urn:usher:problem: and the conflict_reason, or about:blank"}
    )
    title = fields.String(metadata={"description": "the status in words"})
    status = fields.Integer(metadata={"description": "the HTTP status"})
    detail = fields.String(metadata={"description": "what is wrong, for a person"})
    instance = fields.String(metadata={"description": "the path of the request"})
    request_id = fields.String(
        metadata={"description": "under which the logs have the request", "optional": True}
    )
    errors = fields.List(
        fields.Nested(FieldProblem),
        metadata={"description": "the errors of each field", "optional": True},
    )
    conflict_reason = OneOf(
        REASON, metadata={"description": "why it is refused, for programs", "optional": True}
    )
    retry_after = fields.Integer(
        metadata={"description": "seconds until it can succeed", "optional": True}
    )
    state = fields.String(metadata={"description": "the booking's state", "optional": True})
    available = StrictInteger(
        metadata={"description": "what can still be refunded, in minor units", "optional": True}
    )
    amount = StrictInteger(
        metadata={"description": "what the booking costs, in minor units", "optional": True}
    )
    currency = fields.String(metadata={"description": "of the amount", "optional": True})
    total = StrictInteger(
        metadata={"description": "what the wish costs now, in minor units", "optional": True}
    )
    give_back_until = fields.AwareDateTime(
        metadata={"description": "until when it could be given back", "optional": True}
    )
    oldest = StrictInteger(
        metadata={"description": "the first number of the feed that is kept", "optional": True}
    )
    last = StrictInteger(metadata={"description": "the last number of the feed", "optional": True})
    entry_id = fields.UUID(metadata={"description": "the buyer's present entry", "optional": True})
    categories = fields.List(
        fields.String(),
        metadata={"description": "names of the categories it is about", "optional": True},
    )
    seats = fields.List(
        fields.String(),
        metadata={"description": "guids of the seats it is about", "optional": True},
    )


PROBLEM_JSON = "application/problem+json"
ALWAYS = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)
MEANINGS = {
    HTTPStatus.BAD_REQUEST: "The request is malformed.",
    HTTPStatus.UNAUTHORIZED: "The token or key is missing, wrong or expired.",
    HTTPStatus.FORBIDDEN: "The token or key is of a role that may not do this.",
    HTTPStatus.NOT_FOUND: "It does not exist, or it is not yours.",
    HTTPStatus.CONFLICT: "The request does not fit the present state: see conflict_reason.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Fields are wrong: see errors.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests: see retry_after.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of the service; the request may be right.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service is busy or partly away: see retry_after.",
}


def list_statuses(path: str, operation: dict[str, Any], *, limited: bool) -> Iterator[HTTPStatus]:
    """The statuses of problems that follow from what an operation has. limited: rate limits."""
    schemes = {scheme for wanted in operation.get("security", []) for scheme in wanted}
    parameters = [p for p in operation.get("parameters", []) if isinstance(p, dict)]
    has_key = any(p["name"] == "Idempotency-Key" for p in parameters if p["in"] == "header")
    has_query = any(p["in"] == "query" for p in parameters)
    is_ours = path.startswith("/v1/")
    if schemes - {"gateway_signature"}:
        yield HTTPStatus.UNAUTHORIZED
    if schemes & {"buyer", "api_key", "operator_key"} and {} not in operation["security"]:
        yield HTTPStatus.FORBIDDEN
    if "{" in path:
        yield HTTPStatus.NOT_FOUND
    if "requestBody" in operation:
        yield from (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if is_ours:
            yield from (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY)
    if has_key:
        yield HTTPStatus.BAD_REQUEST
    if has_key or has_query:
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    if limited:
        yield HTTPStatus.TOO_MANY_REQUESTS
    yield from ALWAYS
