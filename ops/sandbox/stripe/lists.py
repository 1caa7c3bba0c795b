"""Reading calls: retrieve, list and search."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ops.sandbox.stripe import balance, disputes, endpoints, refunds
from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import (
    Account,
    Charge,
    Event,
    Intent,
    OwnAccount,
    Shelf,
    Stored,
    T,
)
from ops.sandbox.stripe.errors import invalid, missing
from ops.sandbox.stripe.params import Params
from ops.sandbox.stripe.render import Page

Read = Callable[[Account, str, Params], Any]
Test = Callable[[Any], bool]

PAGING = frozenset({"limit", "starting_after", "ending_before", "created"})
COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
    ":": int.__eq__,
    ">": int.__gt__,
    ">=": int.__ge__,
    "<": int.__lt__,
    "<=": int.__le__,
}
CLAUSE = re.compile(
    r"""\s*(?P<field>metadata\[(?P<kq>['"])(?P<key>.+?)(?P=kq)\]|status|currency|amount|created|customer)
        \s*(?P<op>:|>=|<=|>|<)\s*
        (?:(?P<vq>['"])(?P<text>.*?)(?P=vq)|(?P<number>\d+))\s*(?:\bAND\b|$)""",
    re.VERBOSE,
)


def page(shelf: Shelf[T], url: str, params: Params, tests: Iterable[Test] = ()) -> Page:
    """Newest first; `starting_after` goes down the list, `ending_before` up."""
    limit = read.integer(params, "limit") or 10
    after, before = read.text(params, "starting_after"), read.text(params, "ending_before")
    for cursor in filter(None, (after, before)):
        if not shelf.has(cursor):
            raise missing("object", cursor, param="starting_after", status=400)
    rows = shelf.oldest_first(before) if before else shelf.newest_first(after)
    tests = [*tests, *created_tests(params)]
    found = itertools.islice(
        (row for row in rows if all(test(row) for test in tests)), min(limit, 100) + 1
    )
    return cut(found, min(limit, 100), url, upwards=bool(before))


def cut(found: Iterator[Any], limit: int, url: str, *, upwards: bool = False) -> Page:
    values = list(found)
    shown = values[:limit]
    return Page(tuple(reversed(shown) if upwards else shown), url, len(values) > limit)


def created_tests(params: Params) -> list[Test]:
    created = params.get("created", {})
    if not isinstance(created, dict):
        created = {":": created}
    limits = {op: read.integer(created, op, least=0) or 0 for op in created}
    if set(limits) - set(COMPARE):
        raise invalid("created takes gt, gte, lt and lte.", param="created")
    return [functools.partial(created_within, COMPARE[op], at) for op, at in limits.items()]


def created_within(compare: Callable[[int, int], bool], at: int, row: Stored) -> bool:
    return compare(row.created, at)


def same(params: Params, name: str, attribute: str) -> list[Test]:
    """A test that the attribute equals the parameter, if it is given."""
    wanted = read.text(params, name)
    return [lambda row: getattr(row, attribute) == wanted] if wanted else []


def intent(account: Account, id: str, params: Params) -> Intent:
    read.check_names(params, ("client_secret",))
    return account.intent(id)


def intents(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"customer"})
    tests = same(params, "customer", "customer")
    return page(account.intents, "/v1/payment_intents", params, tests)


def search(account: Account, _id: str, params: Params) -> Page:
    """Clauses joined by AND over metadata, status, currency, amount, created and customer."""
    read.check_names(params, ("query", "limit", "page"))
    query = read.required(params, "query")
    limit = min(read.integer(params, "limit") or 10, 100)
    clauses = parse_query(query)
    newest = account.now - account.search_lag
    tests = [lambda row: row.created <= newest, *(clause_test(clause) for clause in clauses)]
    rows = (row for row in candidates(account, clauses) if all(test(row) for test in tests))
    found = cut(itertools.islice(rows, limit + 1), limit, "/v1/payment_intents/search")
    return Page(found.values, found.url, found.has_more, "search_result")


def parse_query(query: str) -> list[re.Match[str]]:
    clauses, position = [], 0
    while position < len(query):
        clause = CLAUSE.match(query, position)
        if clause is None:
            raise invalid(
                f"We were unable to parse your search query at: {query[position:]}", param="query"
            )
        clauses.append(clause)
        position = clause.end()
    return clauses


def candidates(account: Account, clauses: list[re.Match[str]]) -> Iterator[Intent]:
    """By the index on metadata if a clause names a pair, else all intents; newest first."""
    pairs = [(c["key"], c["text"]) for c in clauses if c["key"] and c["op"] == ":"]
    if not pairs:
        return account.intents.newest_first()
    ids = dict.fromkeys(reversed(account.tagged.get(pairs[0], [])))
    return (account.intent(id) for id in ids)


def clause_test(clause: re.Match[str]) -> Test:
    key, text, op = clause["key"], clause["text"], clause["op"]
    if key:
        return lambda row: row.metadata.get(key) == text
    field = clause["field"]
    if field in ("amount", "created"):
        bound = read.integer({field: clause["number"] or text}, field) or 0
        return lambda row: COMPARE[op](getattr(row, field), bound)
    return lambda row: getattr(row, field) == text


def charge(account: Account, id: str, params: Params) -> Charge:
    read.check_names(params, ())
    return account.charge(id)


def charges(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"payment_intent"})
    shelf: Shelf[Charge] = Shelf()
    only = read.text(params, "payment_intent")
    for owner in [account.intent(only)] if only else account.intents:
        for each in owner.charges:
            shelf.put(each)
    return page(shelf, "/v1/charges", params)


def refund(account: Account, id: str, params: Params) -> Any:
    read.check_names(params, ())
    return refunds.get(account, id)


def refund_list(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"payment_intent", "charge"})
    tests = same(params, "payment_intent", "intent") + same(params, "charge", "charge")
    return page(account.refunds, "/v1/refunds", params, tests)


def account(account: Account, _id: str, params: Params) -> OwnAccount:
    read.check_names(params, ())
    return OwnAccount(account.id)


def balance_transactions(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"payout", "type", "source", "currency"})
    tests = [test for name in ("payout", "type", "source", "currency")
             for test in same(params, name, name)]  # fmt: skip
    return page(balance.transactions(account), "/v1/balance_transactions", params, tests)


def payout(account: Account, id: str, params: Params) -> Any:
    read.check_names(params, ())
    found = account.payouts.get(id)
    if found is None:
        raise missing("payout", id)
    return found


def payouts(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"status", "arrival_date"})
    return page(account.payouts, "/v1/payouts", params, same(params, "status", "status"))


def dispute(account: Account, id: str, params: Params) -> Any:
    read.check_names(params, ())
    return disputes.get(account, id)


def dispute_list(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"payment_intent", "charge"})
    tests = same(params, "payment_intent", "intent") + same(params, "charge", "charge")
    return page(account.disputes, "/v1/disputes", params, tests)


def event(account: Account, id: str, params: Params) -> Event:
    read.check_names(params, ())
    found = account.events.get(id)
    if found is None:
        raise missing("event", id)
    return found


def events(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING | {"type", "types", "delivery_success"})
    tests = same(params, "type", "type")
    types = read.listed(params, "types")
    if types:
        tests.append(lambda row: row.type in types)
    return page(account.events, "/v1/events", params, tests)


def endpoint(account: Account, id: str, params: Params) -> Any:
    read.check_names(params, ())
    return endpoints.get(account, id)


def endpoint_list(account: Account, _id: str, params: Params) -> Page:
    read.check_names(params, PAGING)
    return page(account.endpoints, "/v1/webhook_endpoints", params)
