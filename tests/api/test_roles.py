"""Who may do what: every operation of the OpenAPI document is called by everybody.

What is expected follows from the document alone: from the ways to sign a request of an operation,
and from whose objects its path names.
"""

from collections.abc import Iterator

import pytest

from tests.support.document import Document, Operation
from tests.support.every_object import EveryObject, Role
from tests.support.listening import Live, listening

OF_BUYERS = {"booking_id", "entry_id", "session_id"}
"""Parameters that name what one buyer has; the other ids are public, or an organisation's."""

REFUSED = {401, 403}
LAST = (
    "closeEvent",
    "cancelEvent",
    "cancelBooking",
    "leaveQueue",
    "endSession",
    "endSessions",
    "eraseOwnData",
)
PROVEN_BY_BODY = {"refreshTokens"}
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
    named = OF_BUYERS if "buyer" in role.schemes else set(operation.names)
    return {404} if role.owns is False and named & set(operation.names) else None


def tells_roles(operation: Operation) -> bool:
    """Whether a good token of another role is told apart from a wrong one."""
    return bool(operation.schemes & {"buyer", "api_key", "operator_key"})


def steps(document: Document, roles: dict[str, Role]) -> Iterator[tuple[Operation, str]]:
    """Who is refused comes first, and what ends a sale comes last."""
    operations = [op for op in document.operations.values() if not op.is_live]
    operations.sort(key=lambda op: (op.id in LAST and 1 + LAST.index(op.id), op.method != "GET"))
    for operation in operations:
        for name in roles:
            yield operation, name


@pytest.mark.slow
def test_everybody_gets_what_the_document_promises(
    document: Document, every_object: EveryObject
) -> None:
    wrong, calls = [], 0
    for operation, name in steps(document, every_object.roles):
        role, calls = every_object.roles[name], calls + 1
        answer = role.caller.call(
            operation.method,
            every_object.fill(operation.path),
            operation.example if operation.id != "receiveNotification" else {},
            key=f"{name} {operation.id}",
        )
        status, wanted = answer.status_code, expected(operation, role, role.caller.token)
        is_right = status in wanted if wanted else status not in (400, 401, 403, 404, 415)
        if not is_right or status >= 500:
            wrong.append((operation.id, name, wanted, status, answer.text[:200]))
        elif problems := document.errors_of(operation, answer):
            wrong.append((operation.id, name, wanted, status, problems))
    assert wrong == []
    assert calls > 1000


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
            if "buyer" in role.schemes and not role.owns:
                wanted = {404}  # a stream is of what the caller has
            assert status in wanted, (operation.id, name, wanted, status)
            assert str(status) in operation.responses, (operation.id, status)
