"""The sandbox's HTTP server, and what it does in each scenario."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import socket
import socketserver
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

SCENARIOS = {
    "normal": "a token lives for an hour, every report is answered (default)",
    "expiry": "a token lives for one second, less than a report takes here",
    "revoked": "the server forgets the token after the first report",
    "region": "the data lies in another region: 302 to another host, localhost",
    "rate-limit": "the first report is answered 429 with Retry-After: 1",
    "outage": "the first two reports are answered 503",
    "flaky": "the first request gets no response, the first report breaks off",
    "bad-key": "the API key is refused: 401 at the token",
    "no-scope": "the API key lacks the scope for reports: 403",
}
API_KEY, API_SECRET = "sandbox-key", "sandbox-secret"


class Sandbox(socketserver.ThreadingTCPServer):
    """A server on this machine; `with Sandbox("revoked") as sandbox:` serves until the end of the block.

    `sandbox.requests` has a line for each request and its outcome: ["POST /auth/v2/token -> 200, token 1", ...].
    `sandbox.reports` is this sandbox's own copy of reports.json, {end point: response}, which a test may change.
    Raises ValueError for an unknown scenario, and OSError or OverflowError where it cannot serve.
    """

    # Not http.server.HTTPServer: that asks the network for the name of 127.0.0.1, which can take seconds.
    request_queue_size = 64
    allow_reuse_address = os.name != "nt"  # on Windows it would let two servers share a port

    def __init__(self, scenario: str = "normal", port: int = 0) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"there is no scenario {scenario!r}, only {', '.join(SCENARIOS)}")
        if scenario == "region" and all(info[0] != socket.AF_INET for info in socket.getaddrinfo("localhost", None)):
            raise OSError("the scenario region needs 127.0.0.1 for localhost")
        super().__init__(("127.0.0.1", port), Handler)
        self.scenario = scenario
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.reports: dict[str, Any] = json.loads(Path(__file__).with_name("reports.json").read_text("utf-8"))
        self.reports["activity/dns"] = self.reports["activity"]
        self.requests: list[str] = []
        self.names = {"": "no token"}  # what is shown of a token
        self.expiry: dict[str, float] = {}  # of the tokens that are not forgotten, in seconds since the epoch
        self.reports_requested = 0
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Sandbox:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        for connection in self.connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()  # waits for the threads

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Close the connection of a client that has gone, or does not speak HTTP."""

    def environment(self) -> dict[str, str]:
        """Return the environment variables that lead a client here, past any proxy."""
        no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        no_proxy = f"{no_proxy},127.0.0.1,localhost".lstrip(",")
        urls = {"TOKEN_URL": f"{self.url}/auth/v2/token", "REPORTS_URL": f"{self.url}/reports/v2"}
        # oauthlib refuses plain http without OAUTHLIB_INSECURE_TRANSPORT; requests reads no_proxy first.
        others = {"ORG_ID": "", "OAUTHLIB_INSECURE_TRANSPORT": "1", "NO_PROXY": no_proxy, "no_proxy": no_proxy}
        return {"API_KEY": API_KEY, "API_SECRET": API_SECRET, **urls, **others}

    def new_token(self, organization: str) -> dict[str, Any]:
        """Issue a token: a JWT of the usual size, whose signature is random."""
        now, lifetime = int(time.time()), 1 if self.scenario == "expiry" else 3600
        scope = "" if self.scenario == "no-scope" else "reports.aggregations:read"
        claims = {"iss": "sandbox", "sub": f"org/{organization}/user/1", "iat": now, "nbf": now, "exp": now + lifetime}
        parts = [b'{"alg":"RS256","typ":"JWT"}', json.dumps({**claims, "scope": scope}).encode(), os.urandom(256)]
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        self.names[token] = f"token {len(self.names)}"
        self.expiry[token] = time.time() + lifetime + 0.5  # a little lenient, but less than a report takes
        return {"token_type": "bearer", "access_token": token, "expires_in": lifetime}


class Handler(BaseHTTPRequestHandler):
    server: Sandbox
    protocol_version = "HTTP/1.1"  # keeps the connection
    disable_nagle_algorithm = True  # head and body are two writes
    timeout = 10  # seconds that a client may keep silent
    client = ""  # what the line of a request says of its token or organization

    def do_POST(self) -> None:
        sandbox, organization = self.server, self.headers.get("X-Umbrella-OrgId", "")
        self.client = f", organization {organization}" if organization else ""
        form = self.rfile.read(max(0, int(self.headers.get("Content-Length", "0")))).decode()
        credentials = base64.b64encode(f"{API_KEY}:{API_SECRET}".encode()).decode()
        if sandbox.scenario == "flaky" and not sandbox.requests:
            self.close_connection = True
            self.log_request("no response")
        elif self.path != "/auth/v2/token":
            self.respond(404, {"message": "Not found"})
        elif sandbox.scenario == "bad-key" or self.headers.get("Authorization") != f"Basic {credentials}":
            self.respond(401, {"message": "Invalid authentication credentials"})
        elif ("grant_type", "client_credentials") not in parse_qsl(form):
            self.respond(400, {"message": "grant_type must be client_credentials"})
        else:
            self.respond(200, sandbox.new_token(organization or "1234567"), f", token {len(sandbox.names) - 1}")

    def do_GET(self) -> None:
        sandbox, scenario = self.server, self.server.scenario
        token = self.headers.get("Authorization", "").partition("Bearer ")[2]
        self.client = f", {sandbox.names.get(token, 'unknown token')}"
        found = re.fullmatch(r"/reports(|\.eu|\.us)/v2/([^?]*)\??(.*)", self.path)
        region, end_point, query = found.groups() if found else ("", "", "")
        if token not in sandbox.expiry:
            return self.respond(401, {"meta": {}, "data": {"error": "unauthorized"}})
        if sandbox.expiry[token] < time.time():
            return self.respond(400, {"error": "invalid_request"})
        if scenario == "region" and region != ".eu":
            place = f"http://localhost:{sandbox.server_address[1]}/reports.eu/v2/{end_point}"
            return self.respond(302, {}, f" {place}", {"Location": f"{place}?{query}"})
        sandbox.reports_requested += 1
        first = sandbox.reports_requested == 1
        if scenario == "rate-limit" and first:
            return self.respond(429, {"message": "API rate limit exceeded"}, ", Retry-After: 1", {"Retry-After": "1"})
        if scenario == "outage" and sandbox.reports_requested <= 2:
            return self.respond(503, {"message": "Service unavailable"})
        if scenario == "no-scope":
            return self.respond(403, {"message": "Access denied: the scope of the token is not sufficient"})
        if scenario == "expiry":
            time.sleep(1.6)  # the next report finds the token expired; oauthlib rounds up to half a second
        if scenario == "revoked" and first:
            del sandbox.expiry[token]
        self.respond(*report(sandbox.reports, end_point, query), broken_off=scenario == "flaky" and first)

    def respond(
        self, status: int, body: Any, note: str = "", headers: dict[str, str] | None = None, broken_off: bool = False
    ) -> None:
        content = json.dumps(body).encode()
        self.log_request(f"{status}{', broken off' if broken_off else note}")
        self.send_response_only(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if broken_off:
            self.close_connection, content = True, content[: len(content) // 2]
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        line = f"{self.command} {self.path}{self.client}" if self.command else "no HTTP request"  # of send_error
        line = re.sub(f"{API_SECRET}|[^/?&=, ]{{32,}}", "...", f"{line} -> {code}")  # what may be a secret or a token
        self.server.requests.append(line.encode("unicode_escape").decode())  # no control characters on the terminal
        logging.getLogger(__name__).info("%s", self.server.requests[-1])

    def log_message(self, *args: object) -> None:
        """Leave the terminal to the client."""


def report(reports: dict[str, Any], end_point: str, query: str) -> tuple[int, Any]:
    if end_point not in reports:
        return 404, {"message": f"Not found; the sandbox has {', '.join(reports)}"}
    data = reports[end_point].get("data")
    values = {"from": "", "to": "", "limit": "", "offset": "" if end_point == "top-destinations" else "0"}
    values.update(parse_qsl(query, keep_blank_values=True))
    start, end = milliseconds(values["from"]), milliseconds(values["to"])
    wrong = {"from": start < 0 or start > end >= 0, "to": end < 0}
    errors = {name: "invalid timestamp specified" for name in wrong if wrong[name]}
    for name, lowest, highest in (("limit", 1, 5000), ("offset", 0, 10000)) if isinstance(data, list) else ():
        if not re.fullmatch("[0-9]{1,5}", values[name]) or not lowest <= int(values[name]) <= highest:
            errors[name] = f"invalid {name}: should be integer between {lowest} and {highest} inclusive"
    if errors:
        named = [{"param": name, "value": values[name], "error": error} for name, error in errors.items()]
        return 400, {"meta": {}, "data": {"errors": named}}
    if not isinstance(data, list):
        return 200, reports[end_point]
    if end_point.startswith("activity"):
        times = [end - number * (end - start) // len(data) for number in range(len(data))]  # newest first
        dates = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment / 1000)) for moment in times]
        rows = zip(data, times, dates)
        data = [{**row, "timestamp": moment, "date": date[:10], "time": date[11:]} for row, moment, date in rows]
    offset = int(values["offset"])
    return 200, {"meta": {}, "data": data[offset : offset + int(values["limit"])]}


def milliseconds(text: str) -> int:
    relative = re.fullmatch("-([0-9]{1,5})(minutes|hours|days)", text.replace("now", "-0days"))
    if relative:
        minutes = {"minutes": 1, "hours": 60, "days": 1440}[relative[2]]
        return int(time.time() * 1000) - int(relative[1]) * minutes * 60_000
    return int(text) if re.fullmatch("[0-9]{13}", text) else -1  # not a time
