"""Errors of a gateway call that does not return the payment's state.

A decline is not an error but an outcome. The fifth error is TryLater (tasks/durable): nothing was
done, because the gateway is away or was called too often.
"""

from db.runtime.errors import UsherError


class Refused(UsherError):
    """The gateway refused the request; repeating it cannot help."""


class UnknownOutcome(UsherError):
    """The gateway's answer did not arrive: it may have executed the request."""

    permanent = False


class NothingHappened(UsherError):
    """It is certain that the gateway did nothing under the present key, and never will."""

    permanent = False


class ReplayedFailure(UnknownOutcome):
    """The gateway repeats an earlier failure under the same key: asking again tells no more."""
