"""The organiser in a campaign: puts shows on sale, cancels one, settles owed refunds."""

import json
import random
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import requests

from ops.chaos.plan import Act, Form, seats_for
from ops.chaos.timeline import Doing
from ops.crowd.organiser import Organiser, new_api_key, put_on_sale
from ops.local.stack import Stack
from ops.plans.square import square_plan

Json = dict[str, Any]

PATIENCE_S = 30


class Shows:
    """All events of a campaign. ids: in the order of the form's shows."""

    def __init__(self, stack: Stack, form: Form, seed: int) -> None:
        self.stack, self.form = stack, form
        self.dice = random.Random(f"organiser {seed}")
        self.api_key = new_api_key(stack.database_url)
        self.api = Organiser(stack.web_url, self.api_key)
        self.ids: list[int] = []
        self._keys = count()

    @property
    def doings(self) -> dict[str, Doing]:
        return {"cancel": self.cancel}

    def open(self) -> None:
        for number, show in enumerate(self.form.shows):
            hall = self.stack.var_dir / f"hall-{number}.json"
            hall.write_text(json.dumps(square_plan(seats_for(self.form, show))))
            self.ids.append(self._put_on_sale(hall, number))

    def _put_on_sale(self, hall: Path, number: int) -> int:
        show = self.form.shows[number]
        return put_on_sale(
            self.stack.web_url,
            self.api_key,
            hall,
            hold_seconds=show.hold_seconds,
            gated=show.gated,
            currency=show.currency,
            free=show.free,
        )

    def listing(self) -> list[Json]:
        """The events, for the crowd's plan."""
        return [
            {"id": event_id, "gated": show.gated, "passes": show.passes}
            for event_id, show in zip(self.ids, self.form.shows, strict=True)
        ]

    def cancel(self, act: Act) -> None:
        path = f"/v1/events/{self.ids[int(act.whom)]}/cancel"
        self._insist(lambda: self._post(path, {"reason": "The star is ill"}, "cancel"))

    def pay_what_is_owed(self) -> None:
        """Settle owed refunds: some are tried again, most were paid in another way."""
        for event_id in self.ids:
            for refund in self._insist(partial(self._get_owed, event_id)).json():
                self._settle(event_id, refund)

    def _get_owed(self, event_id: int) -> requests.Response:
        url = f"{self.api.web_url}/v1/events/{event_id}/refunds"
        return self.api.http.get(url, params={"owed": "true", "limit": "100"}, timeout=10)

    def _settle(self, event_id: int, refund: Json) -> None:
        path = f"/v1/events/{event_id}/bookings/{refund['booking_id']}/refunds/{refund['id']}"
        if self.dice.random() < 0.3:
            self._insist(lambda: self._post(f"{path}/retry", {}, f"retry-{next(self._keys)}"))
        else:
            self._insist(
                lambda: self.api.http.put(
                    f"{self.api.web_url}{path}/settlement", json={"how": "in cash"}, timeout=10
                )
            )

    def _post(self, path: str, body: Json, key: str) -> requests.Response:
        headers = {"Idempotency-Key": key}
        return self.api.http.post(self.api.web_url + path, json=body, headers=headers, timeout=10)

    def _insist(self, ask: Callable[[], requests.Response]) -> requests.Response:
        """Ask until an answer comes; a conflict is one, since an earlier try may have succeeded."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            trouble: object
            try:
                answer = ask()
                if answer.ok or answer.status_code == 409:
                    return answer
                trouble = f"{answer.status_code} {answer.text}"
                if answer.status_code not in (429, 502, 503, 504):
                    raise requests.HTTPError(trouble, response=answer)
            except (requests.ConnectionError, requests.Timeout) as error:
                trouble = error
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer in {PATIENCE_S} s: {trouble}")
            time.sleep(0.3)
