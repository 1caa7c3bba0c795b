"""Who may do what: each role's rights, in one table.

A right is named by a resource and a verb; every route of organisers and operators names the one
that it needs. The matrix of tests/api/test_roles.py is made from this file.
"""

from typing import Final

OWNER: Final = "owner"
MANAGER: Final = "manager"
FINANCE: Final = "finance"
BOX_OFFICE: Final = "box_office"
DOOR: Final = "door"
ANALYST: Final = "analyst"
ORGANISER: Final = "organiser"
OPERATOR: Final = "operator"

ROLES = {
    OWNER: "everything in the organisation",
    MANAGER: "events, sales, refunds and reports",
    FINANCE: "refunds, receipts, disputes, reviews and reports",
    BOX_OFFICE: "sells at the counter and helps buyers",
    DOOR: "sees the events",
    ANALYST: "reads reports and how sales go",
    ORGANISER: "a server that may do everything in the organisation",
    OPERATOR: "runs Usher, for all organisations",
}

OF_STAFF = (OWNER, MANAGER, FINANCE, BOX_OFFICE, DOOR, ANALYST)
"""Roles that a person can have in an organisation."""

NEED_SECOND_FACTOR = {OWNER, MANAGER, FINANCE, OPERATOR}
"""Roles in which a person can do nothing without a second factor."""

OF_KEYS = (ORGANISER, MANAGER, FINANCE, BOX_OFFICE, DOOR, ANALYST, OPERATOR)
"""Roles that an API key can have."""

OF_ORGANISATIONS: dict[str, set[str]] = {
    "organisation.read": {MANAGER, FINANCE, BOX_OFFICE, DOOR, ANALYST},
    "organisation.write": {MANAGER},
    "audit.read": {MANAGER},
    "members.read": {MANAGER},
    "members.write": set(),
    "identity_provider.read": {MANAGER},
    "identity_provider.write": set(),
    "keys.read": {MANAGER},
    "keys.write": set(),
    "venues.read": {MANAGER, FINANCE, BOX_OFFICE, DOOR, ANALYST},
    "venues.write": {MANAGER},
    "plans.read": {MANAGER, BOX_OFFICE, DOOR, ANALYST},
    "plans.write": {MANAGER},
    "events.read": {MANAGER, FINANCE, BOX_OFFICE, DOOR, ANALYST},
    "events.write": {MANAGER},
    "events.postpone": {MANAGER},
    "events.cancel": {MANAGER},
    "bookings.read": {MANAGER, FINANCE, BOX_OFFICE},
    "bookings.write": {MANAGER, BOX_OFFICE},
    "sales.write": {MANAGER},
    "seats.block": {MANAGER, BOX_OFFICE},
    "counter.read": {MANAGER, FINANCE, BOX_OFFICE},
    "counter.sell": {MANAGER, BOX_OFFICE},
    "addresses.read": {MANAGER, BOX_OFFICE},
    "addresses.write": {MANAGER, BOX_OFFICE},
    "mails.read": {MANAGER, BOX_OFFICE},
    "mails.resend": {MANAGER, BOX_OFFICE},
    "refunds.read": {MANAGER, FINANCE, BOX_OFFICE},
    "refunds.write": {MANAGER, FINANCE},
    "receipts.read": {MANAGER, FINANCE},
    "disputes.read": {MANAGER, FINANCE},
    "reviews.read": {MANAGER, FINANCE},
    "reviews.decide": {MANAGER, FINANCE},
    "reviews.configure": {MANAGER, FINANCE},
    "feed.read": {MANAGER, FINANCE, ANALYST},
    "gateway_accounts.read": {MANAGER, FINANCE},
    "gateway_accounts.check": {MANAGER, FINANCE},
    "gateway_accounts.write": {FINANCE},
    "payouts.read": {MANAGER, FINANCE},
    "reports.read": {MANAGER, FINANCE, ANALYST},
}
"""Rights in an organisation, and who has them beside owners, organisers' servers and operators, who
have them all."""

OF_THE_PLATFORM = {
    "accounts.block",
    "accounts.read",
    "dead_letters.read",
    "dead_letters.write",
    "organisations.suspend",
    "payments.read",
    "personal_data.erase",
    "personal_data.read",
    "platform_audit.read",
    "platform_mails.read",
    "reconciliations.read",
    "tasks.read",
}
"""Rights of operators alone."""

DANGEROUS = {
    "events.cancel",
    "events.postpone",
    "gateway_accounts.write",
    "identity_provider.write",
    "keys.write",
    "members.write",
}
"""What cannot be undone, offers the money of a whole event back, or opens all else. A person
confirms it by a second factor, and the key of a server needs the scope for it. So does where buyers
are told to pay, once an event was opened: web/api/events.py."""

RIGHTS = OF_ORGANISATIONS.keys() | OF_THE_PLATFORM


def may(role: str, right: str) -> bool:
    """Whether a role has a right."""
    if right in OF_THE_PLATFORM:
        return role == OPERATOR
    return role in (OWNER, ORGANISER, OPERATOR) or role in OF_ORGANISATIONS[right]
