"""How a call to a gateway ends when it does not tell what became of the payment.

A decline is none of these: it is an outcome like any other. TryLater (tasks/durable) is the fifth:
nothing was done, as at a gateway that is away or called too often.
"""

from db.runtime.errors import UsherError


class Refused(UsherError):
    """The gateway refused the request as it is; repeating it cannot help."""


class UnknownOutcome(UsherError):
    """The gateway's answer did not arrive: it may have done what it was asked."""

    permanent = False


class NothingHappened(UsherError):
    """Known for sure: the gateway did nothing under the present key, and will not any more."""

    permanent = False


class ReplayedFailure(UnknownOutcome):
    """The gateway repeats, under the same key, that it failed: asking again cannot tell more."""
