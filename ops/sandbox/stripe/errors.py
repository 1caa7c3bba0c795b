"""Stripe's error object as an exception."""

from __future__ import annotations

from typing import Any


class StripeError(Exception):
    """An answer other than 200: HTTP status, type, code and message as Stripe gives them.

    `executed` says whether the endpoint began its work: only such results are kept for an
    idempotency key (https://docs.stripe.com/api/idempotent_requests). payment_intent: the object
    that the error shows as such.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
        charge: str | None = None,
        payment_intent: object = None,
        executed: bool = True,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.code = code
        self.param = param
        self.decline_code = decline_code
        self.charge = charge
        self.payment_intent = payment_intent
        self.executed = executed
        self.headers = headers or {}

    def fields(self) -> dict[str, Any]:
        """The error's own fields, without those that are empty."""
        names = ("type", "code", "decline_code", "charge", "message", "param")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.code:
            page = self.code.replace("_", "-")
            found["doc_url"] = f"https://stripe.com/docs/error-codes/{page}"
        return found


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter is wrong; nothing was executed."""
    return StripeError(
        400, "invalid_request_error", message, code=code, param=param, executed=False
    )


def missing(kind: str, id: str, *, param: str = "id", status: int = 404) -> StripeError:
    """No such object."""
    return StripeError(
        status,
        "invalid_request_error",
        f"No such {kind}: '{id}'",
        code="resource_missing",
        param=param,
    )


def unexpected_state(message: str, payment_intent: object) -> StripeError:
    """The call does not fit the status of the PaymentIntent."""
    return StripeError(
        400,
        "invalid_request_error",
        message,
        code="payment_intent_unexpected_state",
        payment_intent=payment_intent,
    )
