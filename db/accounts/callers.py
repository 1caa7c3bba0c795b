"""Who calls on behalf of an organisation or the platform: what an API key or a session proves."""

from dataclasses import dataclass

from db.accounts.rights import DANGEROUS, OPERATOR, may
from db.runtime.errors import NotAllowed


@dataclass(frozen=True)
class Caller:
    """The principal of a request.

    id: the key's, or the person's account's; account_id: of the person, or of the one who was shown
    the key, if known; is_confirmed: whether dangerous acts are allowed now;
    is_test: it is told of events in test mode, and not of the others.
    """

    id: int
    role: str
    organisation_id: int | None
    account_id: int | None = None
    is_confirmed: bool = False
    is_person: bool = False
    is_test: bool = False

    @property
    def scope(self) -> int | None:
        """The organisation that it may act for; None: all of them."""
        return None if self.role == OPERATOR else self.organisation_id

    @property
    def name(self) -> str:
        """Role and id of a key, or staff and the account's id, as logs have them."""
        return f"staff:{self.id}" if self.is_person else f"{self.role}:{self.id}"

    @property
    def principal(self) -> str:
        """Whose answers are repeated under an Idempotency-Key: a person's are those of the
        organisation for which the person acts, or of the platform."""
        return (
            f"{self.name} of {self.organisation_id or 'platform'}" if self.is_person else self.name
        )

    def check(self, right: str) -> None:
        """Check that it has a right of db/accounts/rights.py. Errors: NotAllowed."""
        if not may(self.role, right):
            raise NotAllowed(f"This needs the right {right}, which the role {self.role} has not.")
        if right in DANGEROUS:
            self.check_confirmed(f"This needs the right {right}")

    def check_confirmed(self, why: str) -> None:
        """Check that it may do what is dangerous now. Errors: NotAllowed."""
        if not self.is_confirmed and self.is_person:
            message = f"{why}: give your second factor again."
            raise NotAllowed(message, reason="second_factor_needed")
        if not self.is_confirmed:
            message = f"{why}: a key for it has the scope `dangerous`."
            raise NotAllowed(message, reason="scope_missing")
