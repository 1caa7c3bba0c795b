"""No call to the outside happens inside a database transaction: tried, and read from the source.

Whoever would add a way out has to take it through refuse_transaction(), or this file fails.
"""

import ast
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.connections import CalledInTransaction, refuse_transaction, transaction
from ops.local.supervisor import ROOT
from tests.support.running import Running

SOURCES = [path for folder in ("db", "tasks", "web") for path in (ROOT / folder).rglob("*.py")]
DOORS = {
    ("tasks/gateways/stripe/client.py", "call"),
    ("tasks/gateways/stripe/accounts.py", "find_external_account"),
    ("tasks/mail/smtp.py", "connection"),
    ("tasks/relay.py", "send"),
}
"""The functions that lead outside: each of them begins by refusing a transaction."""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def calls(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Calls below a node, with the dotted name of what is called."""
    for found in ast.walk(node):
        if isinstance(found, ast.Call):
            yield ast.unparse(found.func), found


def test_the_doors_refuse_first() -> None:
    for name, door in DOORS:
        (function,) = [f for f in functions(ROOT / name) if f.name == door]
        body = function.body[1:] if ast.get_docstring(function) else function.body
        assert ast.unparse(body[0]) == "refuse_transaction()", f"{name}: {door}"


@pytest.mark.parametrize(
    "name",
    [
        "tasks/gateways/stripe/payments.py",
        "tasks/gateways/stripe/refunds.py",
        "tasks/gateways/stripe/client.py",
    ],
)
def test_the_gateway_is_called_through_its_door_alone(name: str) -> None:
    """Every use of the client is inside an argument of call(), or of changed() or pages(), which
    lead to call(), or in a function that is handed to it."""
    assert list(outside_uses(tree(ROOT / name))) == []


def outside_uses(module: ast.Module) -> Iterator[str]:
    """Uses of client() that are neither in a door, nor in an argument of call(), nor in a function
    handed to it."""
    handed = {door for name, door in DOORS if name == "tasks/gateways/stripe/client.py"}
    inside: set[int] = set()
    for name, call in calls(module):
        if name in ("call", "changed", "pages"):
            handed |= {ast.unparse(argument) for argument in call.args}
            inside |= {id(use) for argument in call.args for _, use in calls(argument)}
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name in handed:
            inside |= {id(use) for _, use in calls(node)}
    for name, call in calls(module):
        if name in ("client", "client_with") and id(call) not in inside:
            yield ast.unparse(call)


@pytest.mark.parametrize(
    "source",
    [
        "def look(): return client().v1.payment_intents.retrieve('pi_1')",
        "def look():\n def search(): return client()\n return search()",
    ],
)
def test_a_way_around_the_door_would_be_found(source: str) -> None:
    assert list(outside_uses(ast.parse(source))) == ["client()"]


OUTSIDE = (
    "OAuth2Session",
    "smtplib.SMTP",
    "requests.",
    "urllib3.",
    "urllib.request.",
    "stripe.StripeClient",
)


def test_only_the_doors_know_what_leads_outside() -> None:
    """The libraries that talk to the outside are used where the doors are."""
    users = {
        (str(path.relative_to(ROOT)), name)
        for path in SOURCES
        for name, _ in calls(tree(path))
        if name.startswith(OUTSIDE)
        or (path.parent.name == "tasks" and name.endswith((".enqueue", ".send", "urlopen")))
    }
    assert users == {
        ("tasks/mail/smtp.py", "smtplib.SMTP"),
        ("tasks/mail/smtp.py", "smtplib.SMTP_SSL"),
        ("tasks/gateways/stripe/connections.py", "urllib3.PoolManager"),
        ("tasks/gateways/stripe/connections.py", "urllib3.ProxyManager"),
        ("tasks/gateways/stripe/connections.py", "urllib3.Timeout"),
        ("tasks/gateways/stripe/accounts.py", "stripe.StripeClient"),
        ("tasks/relay.py", "broker.enqueue"),
        ("web/oidc/calls.py", "OAuth2Session"),
        ("web/oidc/calls.py", "requests.Timeout"),
        ("web/oidc/calls.py", "requests.TooManyRedirects"),
    }


def test_the_gateway_refuses_inside_a_transaction(running: Running) -> None:
    from tasks import bookings
    from tasks.gateways.stripe import payments as stripe_payments

    booking = running.sale.hold("alice")
    running.pay(booking)
    lease = running.lease()
    _, progress = bookings.next_step(lease) or pytest.fail("nothing to do")
    for act in (stripe_payments.authorise, stripe_payments.look):
        with transaction(), pytest.raises(CalledInTransaction):
            act(progress)
    assert running.sandbox.calls()["total"] == 0
    assert stripe_payments.authorise(progress).state == "authorised"


def test_mail_refuses_inside_a_transaction(running: Running) -> None:
    from tasks.mail import smtp

    with transaction(), pytest.raises(CalledInTransaction), smtp.connection():
        pass
    with smtp.connection() as server:
        assert isinstance(server, smtplib.SMTP)


def test_an_inner_transaction_does_not_hide_the_outer(running: Running) -> None:
    with transaction():
        with transaction():
            pass
        with pytest.raises(CalledInTransaction):
            refuse_transaction()
    refuse_transaction()
