"""The sandbox's HTTP server, and what it does in each scenario."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import socketserver
import sys
import threading
import time
from http import HTTPStatus
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler
from typing import Any

from common.sandbox_reports import report
from common.sandbox_tokens import API_KEY, API_SECRET, Tokens

TOKEN_PATH, REPORTS_PATH, REGIONAL_PATH = "/auth/v2/token", "/reports/v2", "/reports.eu/v2"

SCENARIOS = {
    "normal": "a token lives for an hour, every report is answered (default)",
    "expiry": "a token lives for one second, less than a report takes here",
    "revoked": "the server forgets the token after the first report",
    "region": "the data lies in another region: 302 to /reports.eu/v2",
    "rate-limit": "the first report is answered 429 with Retry-After: 1",
    "outage": "the first two reports are answered 503",
    "flaky": "the first request gets no answer, the first report breaks off",
    "bad-key": "the API key is refused: 401 at the token",
    "no-scope": "the API key lacks the scope for reports: 403",
}

log = logging.getLogger("sandbox")


class Sandbox(socketserver.ThreadingTCPServer):
    """The server; `with Sandbox("revoked") as sandbox:` serves until the end of the block.

    `sandbox.environment()` returns the variables that lead a client here. `sandbox.requests` is what the server has
    seen and answered, a line each: ["POST /auth/v2/token -> 200, token 1", ...]. Tokens appear by number only.
    """

    # Not http.server.HTTPServer: that asks the network for the name of 127.0.0.1, which can take seconds.
    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = os.name != "nt"  # on Windows it would let two servers share a port

    def __init__(self, scenario: str = "normal", port: int = 0) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"there is no scenario {scenario!r}, only {', '.join(SCENARIOS)}")
        super().__init__(("127.0.0.1", port), Handler)
        self.scenario = scenario
        self.tokens = Tokens(
            lifetime=1 if scenario == "expiry" else 3600,
            scope="" if scenario == "no-scope" else "reports.aggregations:read",
        )
        self.posts, self.gets = itertools.count(1), itertools.count(1)
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Sandbox:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # which only says that the client has gone
            super().handle_error(request, client_address)

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a client here, past any proxy."""
        others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        no_proxy = f"{others},127.0.0.1" if others else "127.0.0.1"
        return {
            "API_KEY": API_KEY,
            "API_SECRET": API_SECRET,
            "TOKEN_URL": self.url + TOKEN_PATH,
            "REPORTS_URL": self.url + REPORTS_PATH,
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
        }


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Sandbox
    protocol_version = "HTTP/1.1"  # keeps the connection
    wbufsize = -1  # sends head and body together
    timeout = 30  # seconds that a client may keep silent
    headers = HTTPMessage()  # until they are read
    body = b""
    breaks_off = False

    def parse_request(self) -> bool:
        """Read the body too, whatever the method: the next request on this connection begins after it."""
        if not super().parse_request():
            return False
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,4}", length):
            self.send_error(400)
            return False
        self.body = self.rfile.read(int(length))
        return True

    def do_POST(self) -> None:
        if self.server.scenario == "flaky" and next(self.server.posts) == 1:
            self.close_connection = True
            return self.record("no answer")
        if self.path != TOKEN_PATH:
            return self.answer(404, {"message": "Not found"})
        if self.server.scenario == "bad-key":
            return self.answer(401, {"message": "Invalid authentication credentials"})
        status, token = self.server.tokens.issue(self.body.decode(errors="replace"), dict(self.headers))
        self.answer(status, token, f", {self.server.tokens.name(token['access_token'])}" if status == 200 else "")

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        base, _, end_point = path.rpartition("/")
        scenario, tokens = self.server.scenario, self.server.tokens
        if base not in (REPORTS_PATH, REGIONAL_PATH, "/reports.us/v2"):
            return self.answer(404, {"message": "Not found"})
        nth = next(self.server.gets)
        if scenario == "rate-limit" and nth == 1:
            return self.answer(429, {"message": "API rate limit exceeded"}, ", Retry-After: 1", {"Retry-After": "1"})
        if scenario == "outage" and nth <= 2:
            return self.answer(503, {"message": "Service unavailable"})
        if scenario == "region" and base != REGIONAL_PATH:
            location = self.server.url + self.path.replace(base, REGIONAL_PATH, 1)
            return self.answer(302, {}, f" {shown(f'{REGIONAL_PATH}/{end_point}')}", {"Location": location})
        rejection = tokens.rejection(dict(self.headers), self.token())
        if rejection:
            return self.answer(*rejection)
        if scenario == "no-scope":
            return self.answer(403, {"message": "Access denied: the scope of the token is not sufficient"})
        if scenario == "expiry":
            time.sleep(1.6)  # so that the next report finds the token expired; oauthlib rounds up to half a second
        if scenario == "revoked" and nth == 1:
            tokens.expiry.clear()
        self.breaks_off = scenario == "flaky" and nth == 1
        self.answer(*report(end_point, query), ", broken off" if self.breaks_off else "")

    def token(self) -> str:
        return str(self.headers.get("Authorization", "")).partition(" ")[2].strip()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is no request for this server: an unknown method, or no HTTP at all."""
        self.close_connection = True
        self.answer(code, {"message": HTTPStatus(code).phrase})

    def answer(self, status: int, body: Any, note: str = "", headers: dict[str, str] | None = None) -> None:
        self.record(f"{status}{note}")
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.breaks_off:
            self.close_connection = True
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def record(self, outcome: str) -> None:
        """Add the request and its outcome to `sandbox.requests`, before the client learns of it."""
        request = f"{shown(self.command)} {shown(self.path)}" if self.command else "no HTTP request"
        if self.command == "GET":
            request += f", {self.server.tokens.name(self.token())}"
        line = f"{request} -> {outcome}"
        self.server.requests.append(line)
        log.info(line)

    def log_message(self, *args: object) -> None:
        """Leave the terminal to the client."""


def shown(path: str) -> str:
    """Return the path and query without control characters, and without what may be a token or a secret."""
    path, mark, query = path.partition("?")
    known = re.compile(r"(from|to|limit|offset)=[\w:.-]*")
    query = "&".join(part if known.fullmatch(part) else "..." for part in query.split("&")) if mark else ""
    return re.sub(r"[^/?&=]{25,}", "...", path + mark + query).encode("unicode_escape").decode()
