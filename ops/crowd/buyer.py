"""What all buyers do alike: sign up, and answer their bank."""

from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from ops.crowd.api import Api, Unexpected

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
        answer = await api.call("POST", "/v1/accounts", body, expect=(201, 409))
        if answer.status == 201:
            return Account(answer.body["id"], email, answer.body["token"])
    raise Unexpected(f"all addresses of {name} were taken")


async def press(api: Api, url: str, outcome: str) -> None:
    """Press a button on the bank's page: approve or fail. Errors: Unexpected."""
    form = aiohttp.FormData({"outcome": outcome})
    async with api.session.post(url, data=form, allow_redirects=False) as response:
        if response.status >= 400:
            raise Unexpected(f"the bank's page: {response.status} {await response.text()}")
