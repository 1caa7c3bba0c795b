"""Who may do what: every operation of the OpenAPI document is called by everybody, about what is
the caller's, another's, and what does not exist.

What is expected follows from the document and the table of rights: from the ways to sign a request
of an operation, the right that it needs, and whose objects its path names.
"""

from collections.abc import Iterator

import pytest

from db.accounts.rights import (
    DANGEROUS,
    OF_ORGANISATIONS,
    OF_THE_PLATFORM,
    OPERATOR,
    RIGHTS,
    ROLES,
    may,
)
from tests.support.document import Document, Operation
from tests.support.every_object import EveryObject, Role
from tests.support.listening import Live, listening

OF_BUYERS = {"booking_id", "entry_id", "session_id", "passkey_id"}
"""Parameters that name what one person has, where no right is needed; the other ids are public, or
an organisation's."""

LIKE_ALL_OTHERS = {"the organisation", "an operator", "an operator without a key"}
REFUSED = {401, 403}
LAST = (
    "closeEvent",
    "cancelEvent",
    "cancelBooking",
    "leaveQueue",
    "withdrawInvitation",
    "removeMember",
    "removeIdentityProvider",
    "setPassword",
    "removePassword",
    "blockAccount",
    "eraseAccount",
    "removePasskey",
    "removeSecondFactor",
    "endSession",
    "endSessions",
    "closeAccount",
    "eraseOwnData",
)
"""In this order; what ends sessions comes after all that they are needed for."""
QUERIES = {"sumGatewayFees": "?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z"}
"""What is read before it is looked for."""
ENDS = {
    "withdrawInvitation": "withdrawInvitation",
    "removeMember": "removeMember",
    "removeIdentityProvider": "removeIdentityProvider",
    "closeAccount": "eraseOwnData",
}
"""After the first of them, what the second is about is not there any more."""
OF_ANOTHER = {"leaveOrganisation"}
"""What their path names is another person's, whatever the caller's role."""
ASK_FOR_THE_FACTOR = {"removeSecondFactor", "renewRecoveryCodes"}
"""Operations of all people who have given their second factor a short while ago."""
PROVEN_BY_BODY = {"refreshTokens", "signInByPasskey"}
"""Operations whose body says who asks; the example's proves nothing."""


def expected(operation: Operation, role: Role, token: str | None) -> set[int] | None:
    """The statuses that the document promises. None: it is allowed, so it is none of 400, 401, 403,
    404 and 415."""
    if operation.schemes == {"gateway_signature"}:
        return {400}
    if operation.id in PROVEN_BY_BODY:
        return {401}
    is_public = not operation.security or {} in operation.security
    if is_public:
        is_wrong_key = (token or "").startswith("usk_") and not role.schemes
        return {401} if is_wrong_key and operation.security else None
    if not operation.schemes & role.schemes:
        if token is None:
            return {401}
        return {403} if role.schemes & {"buyer", "api_key"} and tells_roles(operation) else REFUSED
    if operation.id in ASK_FOR_THE_FACTOR:
        return None if "staff" in role.schemes and role.is_confirmed else {403}
    if operation.id in OF_ANOTHER:
        return {404}
    right = operation.described.get("x-right")
    if right and not has_right(right, role):
        return {403}
    named = set(operation.names) if right else OF_BUYERS & set(operation.names)
    owns = role.owns if right or "staff" not in role.schemes else False
    return {404} if owns is False and named else None


def has_right(right: str, role: Role) -> bool:
    return may(role.name, right) and (right not in DANGEROUS or role.is_confirmed)


def tells_roles(operation: Operation) -> bool:
    """Whether a good token of another role is told apart from a wrong one."""
    return bool(operation.schemes & {"buyer", "api_key", "operator_key"})


def steps(document: Document, roles: dict[str, Role]) -> Iterator[tuple[Operation, str]]:
    """Who is refused comes first, and what ends a sale comes last."""
    operations = [op for op in document.operations.values() if not op.is_live]
    order = {name: place for place, name in enumerate(LAST, 1)}
    operations.sort(key=lambda op: (order.get(op.id, 0), op.method != "GET"))
    for operation in operations:
        for name, role in roles.items():
            if is_news(operation, name, role):
                yield operation, name


def is_news(operation: Operation, name: str, role: Role) -> bool:
    """Whether a call can tell what another one does not. Where no right is needed, staff and keys
    are all the same; a right that is missing is missed before it is looked whose the thing is."""
    right = operation.described.get("x-right")
    if not right:
        return not role.name or name in LIKE_ALL_OTHERS
    return role.owns is not False or not role.name or has_right(right, role)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_everybody_gets_what_the_document_promises(
    document: Document, every_object: EveryObject
) -> None:
    wrong, calls, done = [], 0, set()
    for operation, name in steps(document, every_object.roles):
        role, calls = every_object.roles[name], calls + 1
        answer = role.caller.call(
            operation.method,
            every_object.fill(operation.path) + QUERIES.get(operation.id, ""),
            operation.example if operation.id != "receiveNotification" else {},
            key=f"{name} {operation.id}",
        )
        status, wanted = answer.status_code, expected(operation, role, role.caller.token)
        is_right = status in wanted if wanted else status not in (400, 401, 403, 404, 415)
        is_right = is_right or (wanted is None and status in (401, 404) and operation.id in done)
        done |= {ENDS[operation.id]} if status < 300 and operation.id in ENDS else set()
        if not is_right or status >= 500:
            wrong.append((operation.id, name, wanted, status, answer.text[:200]))
        elif problems := document.errors_of(operation, answer):
            wrong.append((operation.id, name, wanted, status, problems))
    assert wrong == []
    assert calls > 2500


@pytest.mark.slow
def test_what_does_not_exist_is_not_found_by_those_who_could_see_it(
    document: Document, every_object: EveryObject
) -> None:
    wrong, calls = [], 0
    for operation, name in steps(document, every_object.roles):
        role, names = every_object.roles[name], set(operation.names) - {"name"}
        right = operation.described.get("x-right")
        asks = role.schemes & operation.schemes - {"queue_ticket", "queue_ticket_in_query"}
        if not names or not asks or role.owns is False:
            continue
        calls += 1
        path = every_object.fill_missing(operation.path) + QUERIES.get(operation.id, "")
        status = role.caller.call(operation.method, path, operation.example, key=name).status_code
        if status != (404 if not right or has_right(right, role) else 403):
            wrong.append((operation.id, name, status))
    assert wrong == []
    assert calls > 900


def test_every_operation_of_organisations_and_operators_names_a_right(document: Document) -> None:
    named = set()
    for operation in document.operations.values():
        right = operation.described.get("x-right")
        is_staffs = "staff" in operation.schemes or "api_key" in operation.schemes
        assert (right in RIGHTS) == (is_staffs and {} not in operation.security), operation.id
        assert operation.described.get("x-dangerous", False) == (right in DANGEROUS)
        named |= {right} & RIGHTS
    assert named == RIGHTS


def test_the_roles_of_the_table_are_those_of_the_text() -> None:
    """Each has its description, and none but operators has rights of the platform."""
    assert {role for roles in OF_ORGANISATIONS.values() for role in roles} < set(ROLES)
    for role in ROLES:
        assert any(may(role, right) for right in OF_ORGANISATIONS)
        assert all(may(role, right) == (role == OPERATOR) for right in OF_THE_PLATFORM)


@pytest.mark.processes
def test_everybody_gets_the_streams_that_the_document_promises(
    document: Document, every_object: EveryObject, live: Live
) -> None:
    for operation in document.operations.values():
        for name, role in every_object.roles.items():
            if not operation.is_live:
                continue
            path = every_object.fill(operation.path)
            with listening(live, path, token=role.caller.token or "") as listener:
                status = listener.response.status_code
            wanted = expected(operation, role, role.caller.token) or {200, 204}
            if "buyer" in role.schemes and ("staff" in role.schemes or not role.owns):
                wanted = {404}  # a stream is of what the caller has
            assert status in wanted, (operation.id, name, wanted, status)
            assert str(status) in operation.responses, (operation.id, status)
