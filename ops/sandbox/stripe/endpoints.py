"""Webhook endpoints: which receivers get which events."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ops.sandbox.stripe import params as read
from ops.sandbox.stripe.account import Account, Endpoint
from ops.sandbox.stripe.errors import invalid, missing
from ops.sandbox.stripe.params import Params

CREATE = frozenset(["url", "enabled_events", "description", "api_version", "connect"])


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint as the call that creates it shows it: with its secret."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Deleted:
    id: str
    kind: str


def create(account: Account, _id: str, params: Params) -> NewEndpoint:
    read.check_names(params, CREATE)
    url = read.required(params, "url")
    if not url.startswith(("http://", "https://")):
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.",
                      param="url", code="url_invalid")  # fmt: skip
    events = read.listed(params, "enabled_events")
    if not events:
        raise invalid("Missing required param: enabled_events.", param="enabled_events",
                      code="parameter_missing")  # fmt: skip
    id = account.new_id("we")
    endpoint = Endpoint(
        id=id,
        created=int(account.now),
        url=url,
        secret="whsec_" + id.removeprefix("we_"),
        events=events,
        description=read.text(params, "description"),
        metadata=read.metadata(params),
    )
    account.endpoints.put(endpoint)
    return NewEndpoint(endpoint)


def use(account: Account, _id: str, params: Params) -> NewEndpoint:
    """The endpoint given on the command line: the events that it is registered for, separated by
    commas, and a secret that both sides know."""
    url, secret = read.required(params, "url"), read.required(params, "secret")
    events = tuple((read.text(params, "events") or "*").split(","))
    known = next((e for e in account.endpoints if e.url == url), None)
    if known:
        endpoint = replace(known, secret=secret, events=events)
    else:
        id = account.new_id("we")
        endpoint = Endpoint(id, int(account.now), url, secret, events, None, {})
    account.endpoints.put(endpoint)
    return NewEndpoint(endpoint)


def get(account: Account, id: str) -> Endpoint:
    found = account.endpoints.get(id)
    if found is None:
        raise missing("webhook_endpoint", id)
    return found


def delete(account: Account, id: str, _params: Params) -> Deleted:
    get(account, id)
    account.endpoints.remove(id)
    return Deleted(id, "webhook_endpoint")
