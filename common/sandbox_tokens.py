"""The sandbox's OAuth 2.0 side: oauthlib's own server, with the answers of the Secure Access API."""

from __future__ import annotations

import base64
import json
import secrets
import time
from types import SimpleNamespace
from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2 import BackendApplicationServer, RequestValidator

API_KEY, API_SECRET = "sandbox-key", "sandbox-secret"


class Tokens(RequestValidator):
    """Issues tokens and checks them; oauthlib asks it about clients and tokens."""

    def __init__(self, lifetime: int, scope: str) -> None:
        super().__init__()
        self.lifetime = lifetime  # seconds
        self.scope = scope
        self.issued: list[str] = []
        self.expiry: dict[str, float] = {}  # of the tokens that are not forgotten, in seconds since the epoch
        self.server = BackendApplicationServer(self, self.new_token, lifetime)

    def issue(self, body: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the answer to a token request."""
        _, text, status = self.server.create_token_response("/", "POST", body, headers)
        token = json.loads(text)
        if status == 401:
            return 401, {"message": "Invalid authentication credentials"}
        if status != 200:
            return status, {"message": token.get("error_description", token["error"])}
        return 200, {"token_type": "bearer", **{name: token[name] for name in ("access_token", "expires_in")}}

    def rejection(self, headers: dict[str, str], token: str) -> tuple[int, dict[str, Any]] | None:
        """Return the status and the body of the answer to a request without a valid token."""
        if self.server.verify_request("/", "GET", None, headers)[0]:
            return None
        if token in self.expiry:
            return 400, {"error": "invalid_request"}
        return 401, {"meta": {}, "data": {"error": "unauthorized"}}

    def name(self, token: str) -> str:
        """Return what may be shown of a token: its number."""
        if token in self.issued:
            return f"token {self.issued.index(token) + 1}"
        return "unknown token" if token else "no token"

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        request.client = SimpleNamespace(client_id=API_KEY)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        expected = base64.b64encode(f"{API_KEY}:{API_SECRET}".encode()).decode()
        return bool(scheme.lower() == "basic" and credentials.strip() == expected)

    def validate_grant_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        return []

    def validate_scopes(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def save_bearer_token(self, token: Any, *args: Any, **kwargs: Any) -> None:
        self.issued.append(token["access_token"])
        self.expiry[token["access_token"]] = time.time() + self.lifetime + 1  # as lenient as servers are

    def validate_bearer_token(self, token: str, *args: Any, **kwargs: Any) -> bool:
        return self.expiry.get(token, 0) > time.time()

    def new_token(self, request: Request) -> str:
        """Return a JWT of the usual size; its signature is random."""
        now = int(time.time())
        claims = {"iss": "sandbox", "sub": "org/1234567/user/1", "iat": now, "nbf": now, "exp": now + self.lifetime}
        texts = [
            json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, {**claims, "scope": self.scope})
        ]
        parts = [base64.urlsafe_b64encode(text).decode().rstrip("=") for text in texts]
        return ".".join([*parts, secrets.token_urlsafe(256)])
