"""A device that makes passkeys, as a browser on a page of ours would ask it."""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

PRESENT, VERIFIED, WITH_KEY = 0x01, 0x04, 0x40
"""Flags of what it says (WebAuthn, 6.1)."""


@dataclass
class Device:
    """Makes one passkey and answers with it. origin: of the page that asks; rp_id: for which host
    it answers, None: the one that is asked; counts: how often it says that it was used; flags:
    whether its person is there, and was recognised."""

    origin: str
    rp_id: str | None = None
    counts: int = 0
    flags: int = PRESENT | VERIFIED
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    handle: bytes = b""

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What navigator.credentials.create() gives for these options, as JSON."""
        self.handle = from_text(asked["user"]["id"])
        data = self._data(asked["rp"]["id"], WITH_KEY) + bytes(16)
        data += len(self.credential_id).to_bytes(2) + self.credential_id + self._public_key()
        attested = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", asked)
        return self._credential(
            {"clientDataJSON": as_text(client), "attestationObject": as_text(attested)}
        )

    def get(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What navigator.credentials.get() gives for these options, as JSON."""
        data, client = self._data(asked["rpId"]), self._client("webauthn.get", asked)
        signed = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            {
                "clientDataJSON": as_text(client),
                "authenticatorData": as_text(data),
                "signature": as_text(signed),
                "userHandle": as_text(self.handle),
            }
        )

    def _credential(self, response: dict[str, str]) -> dict[str, Any]:
        name = as_text(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}

    def _client(self, kind: str, asked: dict[str, Any]) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": asked["challenge"], "origin": self.origin}
        ).encode()

    def _data(self, rp_id: str, more: int = 0) -> bytes:
        host = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return host + bytes([self.flags | more]) + self.counts.to_bytes(4)

    def _public_key(self) -> bytes:
        """As COSE has it: an elliptic curve's, ES256, P-256, x, y."""
        numbers = self.key.public_key().public_numbers()
        x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
        return encode_cbor({1: 2, 3: -7, -1: 1, -2: x, -3: y})


def as_text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def from_text(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
