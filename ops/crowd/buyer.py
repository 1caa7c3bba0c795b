"""What all buyers do alike: sign up, and answer their bank."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from ops.crowd.api import COMING, Api, Unexpected
from ops.crowd.client import Client

GOOD = "pm_card_visa"
DECLINED = "pm_card_chargeDeclined"
CAUTIOUS = "pm_card_threeDSecureRequired"


@dataclass(frozen=True)
class Account:
    id: int
    email: str
    token: str


async def sign_up(api: Api, name: str, emails: Iterable[str]) -> Account:
    """Make a guest's account. After a lost answer the address is taken: the next one is used.

    Errors: Unexpected when all addresses are taken.
    """
    for email in emails:
        body = {"email": email, "name": name}
        answer = await api.call("POST", "/v1/accounts", body, expect=(201, 409), kind=COMING)
        if answer.status == 201:
            return Account(answer.body["id"], email, answer.body["token"])
    raise Unexpected(f"all addresses of {name} were taken")


async def press(url: str, outcome: str) -> None:
    """Press a button on the bank's page: approve or fail. Errors: Unexpected."""
    parts = urlsplit(url)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    with closing(Client(url)) as client:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        pressed = urlencode({"outcome": outcome}).encode()
        answer = await client.ask("POST", target, form, pressed)
    if answer.status >= 400:
        raise Unexpected(f"the bank's page: {answer.status} {answer.body.decode()}")
