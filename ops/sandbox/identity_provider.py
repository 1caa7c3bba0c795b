"""An identity provider on this machine: OpenID Connect over real HTTP, which can be told to lie, to
be slow, and to be away."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from threading import Event, Thread
from time import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

CLIENT, SECRET = "usher", "s3cret of the tests"


class IdentityProvider:
    """issuer: its address. asked: paths that were requested. Answers wait while `slow` is set."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.signs_with: RSAKey | OctKey = self.key
        self.algorithm = "RS256"
        self.document: dict[str, Any] = {}
        self.asked: list[str] = []
        self.redirects_to = ""
        self.may_answer = Event()
        self.may_answer.set()
        self._codes: dict[str, dict[str, Any]] = {}

    def log_in(self, sent_to: str, subject: str, **claims: Any) -> str:
        """What the provider's page does when a person has signed in: where the browser is sent
        back to. claims: changes to the token; None: it is left out."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(sent_to).query).items()}
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = token_urlsafe(8)
        now = int(time())
        said = {
            "iss": self.issuer,
            "sub": subject,
            "aud": asked["client_id"],
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
        } | claims
        token = {name: value for name, value in said.items() if value is not None}
        self._codes[code] = {"asked": asked, "token": token}
        path = urlsplit(asked["redirect_uri"]).path
        return f"{path}?code={code}&state={asked['state']}"

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        self.asked.append(path)
        self.may_answer.wait(20)
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            } | self.document
        if path == "/keys":
            return 200, KeySet([self.key]).as_dict()
        if path == "/token":
            return self._redeem(form, authorization)
        return 404, {}

    def _redeem(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        id, _, secret = b64decode(authorization.partition(" ")[2]).decode().partition(":")
        if (unquote(id), unquote(secret)) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        known = self._codes.pop(form.get("code", ""), None)
        if known is None or form["redirect_uri"] != known["asked"]["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        challenge = create_s256_code_challenge(form.get("code_verifier", ""))
        if challenge != known["asked"]["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        header = {"alg": self.algorithm, "kid": "1"}
        token = jwt.encode(header, known["token"], self.signs_with, algorithms=[self.algorithm])
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._do({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._do({name: values[0] for name, values in parse_qs(body).items()})

        def _do(self, form: dict[str, str]) -> None:
            path = urlsplit(self.path).path
            authorization = self.headers.get("Authorization", "")
            status, body = provider.answer(path, form, authorization)
            if provider.redirects_to:
                self.send_response(302)
                self.send_header("Location", provider.redirects_to)
            else:
                self.send_response(status)
            content = json.dumps(body).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = IdentityProvider(server.server_address[1])
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.may_answer.set()
        server.shutdown()
        server.server_close()
        thread.join()
