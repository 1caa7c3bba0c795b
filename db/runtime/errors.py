"""Errors of the domain. A class's docstring is its default message.

`permanent`: trying the same again can never help. web/support/errors.py gives each its status.
"""

from typing import Any


class UsherError(Exception):
    """Something went wrong."""

    permanent = True

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or type(self).__doc__)
        self.details = details


class NotFound(UsherError):
    """There is no such thing, or it is not yours."""


class InvalidRequest(UsherError):
    """The request does not make sense."""


class Conflict(UsherError):
    """The request does not fit the present state. `conflict_reason` says why."""

    def __init__(self, message: str, reason: str, **details: Any) -> None:
        super().__init__(message, conflict_reason=reason, **details)


class NotSignedIn(UsherError):
    """This needs a valid bearer token: get one from POST /v1/tokens."""


class NotAllowed(UsherError):
    """You may not do this."""


class TooManyTries(UsherError):
    """Too much has failed: try again later. `retry_after` says in how many seconds."""

    permanent = False


class Fault(UsherError):
    """A fault of the service: the request may be right."""


class Busy(UsherError):
    """Try again shortly."""

    permanent = False
