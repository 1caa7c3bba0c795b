"""Tokens of our own bytes are the library's tokens, and the library reads what is not certainly
one of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from web.support.signing import HEADER, key_for, read_own, sign, verify

pytestmark = pytest.mark.usefixtures("configured")

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
CLAIMS = {"sub": "7", "event": 1, "entry": "é", "exp": SOON}


def by_library(claims: dict[str, Any], **more: Any) -> str:
    key = more.pop("key", None) or key_for("queue")
    return jwt.encode({"aud": "queue"} | claims, key, algorithm="HS256", **more)


def test_a_token_is_the_one_that_the_library_would_sign() -> None:
    last = CLAIMS | {"aud": "queue"}
    assert sign(CLAIMS, "queue") == jwt.encode(last, key_for("queue"), algorithm="HS256")


def test_the_library_and_the_own_reader_read_the_same() -> None:
    token = sign(CLAIMS, "queue")
    read = jwt.decode(token, key_for("queue"), algorithms=["HS256"], audience="queue")
    assert read_own(token, "queue") == verify(token, "queue", ["event"]) == read
    assert read["exp"] == SOON.timestamp()


@pytest.mark.parametrize(
    "token",
    [
        lambda: sign(CLAIMS, "buyer"),
        lambda: sign(CLAIMS | {"exp": SOON - timedelta(hours=2)}, "queue"),
        lambda: by_library(CLAIMS, key="another key that is long enough, too"),
        lambda: by_library(CLAIMS, headers={"kid": "1"}),
        lambda: by_library(CLAIMS | {"exp": "4000000000"}),
        lambda: by_library(CLAIMS | {"exp": 4e9}),
        lambda: by_library(CLAIMS | {"nbf": SOON}),
        lambda: by_library(CLAIMS | {"aud": ["queue", "buyer"]}),
        lambda: sign(CLAIMS, "queue") + "=",
        lambda: sign(CLAIMS, "queue")[:-1],
        lambda: HEADER.decode() + ".",
        lambda: HEADER.decode(),
        lambda: "é.\udc80",
        lambda: "",
    ],
)
def test_anything_else_is_left_to_the_library(token: Any) -> None:
    assert read_own(token(), "queue") is None


def test_a_claim_that_is_missing_is_the_librarys_to_say() -> None:
    with pytest.raises(jwt.MissingRequiredClaimError):
        verify(sign(CLAIMS, "queue"), "queue", ["number"])
