"""The sandbox's HTTP server, and what it does in each scenario."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pkgutil
import re
import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from .reports import KINDS, activity, find_errors, read_parameters

SCENARIOS = {
    "normal": "a token lives for an hour, every report is answered (default)",
    "expiry": "a token lives for one second, less than a report takes here",
    "revoked": "the server forgets the token after the first report",
    "region": "the data lies in another region: 302 to another host, localhost",
    "rate-limit": "the first report is answered 429 with Retry-After: 1",
    "outage": "the first two reports are answered 503",
    "down": "every report is answered 503, for ever",
    "flaky": "the first request gets no response, the first report breaks off",
    "bad-key": "the API key is refused: 401 at the token",
    "no-scope": "the API key lacks the scope for aggregations: 403",
    "partial": "activity and total-requests lack the firewall's part: 207",
}

# How many reports are answered 503, from the first one on.
OUTAGES = {"outage": 2, "down": 1_000_000_000}

# What differs in the two reports that can be had without the firewall's part.
PARTIAL_META = {"successful": ["dns", "proxy"], "failed": ["firewall"]}
PARTIAL: dict[str, Any] = {
    "activity": {"meta": PARTIAL_META},
    "total-requests": {"meta": PARTIAL_META, "data": {"count": 7625}},
}

API_KEY = "sandbox-key"
API_SECRET = "sandbox-secret"
CREDENTIALS = base64.b64encode(f"{API_KEY}:{API_SECRET}".encode()).decode()

# The organization of the key, which reports.json has in the labels of identities.
ORGANIZATION = "1234567"

# The secret, and anything that may be a token: hidden in the lines.
SECRETS = re.compile(f"{API_SECRET}|[^/?&=, ]{{32,}}")


@dataclass
class Token:
    """What the server knows of a token that it has issued.

    `name` stands for it in the lines of requests, `expires_at` is in seconds since
    the epoch.
    """

    name: str
    organization: str
    expires_at: float
    revoked: bool = False


# Not http.server.HTTPServer: that one looks up the name of 127.0.0.1, which can take
# seconds.
class Sandbox(socketserver.ThreadingTCPServer):
    """A token and reports server on this machine, such as for the tests of a program.

        with Sandbox("revoked") as sandbox:
            sandbox.seconds_per_row = 60
            with patch.dict(os.environ, sandbox.environment()):
                main()
        assert sandbox.requests[0] == "POST /auth/v2/token -> 200, token 1"

    It serves until the end of the block. A test may read:

    url: where it is, such as "http://127.0.0.1:54321".
    requests: a line for each request and its outcome, without secrets and tokens.

    A test may change:

    scenario: its name, one of SCENARIOS. What it does to the first report, it does
        only if it is set before that.
    reports: its own copy of reports.json, {end point: response}.
    seconds_per_row: the time from one row of activity to the next, by default 300.
        0.2 makes five rows for each second, all with its timestamp.

    A token for another organization gets the same rows with other identities, whose
    labels end in its number: "laptop-7.org-77".

    Raises ValueError for an unknown scenario, and OSError or OverflowError where it
    cannot serve.
    """

    request_queue_size = 64

    # On Windows it would let two servers share a port.
    allow_reuse_address = os.name != "nt"

    def __init__(self, scenario: str = "normal", port: int = 0) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"{scenario!r} is no scenario of {list(SCENARIOS)}")
        # Not read by open(), so that a zip file of this package serves too.
        content = pkgutil.get_data(__package__, "reports.json") or b""
        self.reports: dict[str, Any] = json.loads(content)
        super().__init__(("127.0.0.1", port), Handler)
        self.scenario = scenario
        self.show_requests = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.region_url = f"http://localhost:{self.server_address[1]}/reports.eu/v2"
        self.seconds_per_row: float = 300
        self.requests: list[str] = []
        self.tokens: dict[str, Token] = {}
        self.token_numbers = itertools.count(1)
        self.report_numbers = itertools.count(1)
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Sandbox:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        for connection in self.connections:
            # It may be closed already.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        # Waits for the threads that serve the connections.
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, *args: object) -> None:
        """Say nothing of a client that has gone, or does not speak HTTP."""

    def environment(self) -> dict[str, str]:
        """Return the environment variables that lead a client here, past any proxy."""
        return {
            "API_KEY": API_KEY,
            "API_SECRET": API_SECRET,
            "TOKEN_URL": f"{self.url}/auth/v2/token",
            "REPORTS_URL": f"{self.url}/reports/v2",
            # Otherwise oauthlib refuses plain http.
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
            # Which of the two counts depends on the program.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    def issue_token(self, organization: str) -> dict[str, Any]:
        """Return the response to a token request: a JWT with a random signature."""
        lifetime = 1 if self.scenario == "expiry" else 3600
        scope = "reports.granularEvents:read"
        if self.scenario != "no-scope":
            scope = f"{scope} reports.aggregations:read"

        now = int(time.time())
        claims = {
            "sub": f"org/{organization}/user/1",
            "iat": now,
            "exp": now + lifetime,
            "scope": scope,
        }
        header = b'{"alg":"RS256","typ":"JWT"}'
        parts = [header, json.dumps(claims).encode(), os.urandom(256)]
        encoded = b".".join(map(base64.urlsafe_b64encode, parts))
        access_token = encoded.decode().replace("=", "")

        name = f"token {next(self.token_numbers)}"
        if organization != ORGANIZATION:
            name = f"{name}, organization {organization}"
        # A little lenient, but by less than the report that is slow in expiry.
        expires_at = time.time() + lifetime + 0.5
        self.tokens[access_token] = Token(name, organization, expires_at)
        return {
            "token_type": "bearer",
            "access_token": access_token,
            "expires_in": lifetime,
        }

    def find_report(self, end_point: str, query: str) -> tuple[int, Any]:
        """Return the HTTP status and the body of the response to `end_point?query`."""
        name = "activity" if end_point in KINDS else end_point
        if name not in self.reports:
            known = [*self.reports, *KINDS]
            return 404, {"message": f"Not found; the sandbox has {known}"}

        report = self.reports[name]
        rows = report["data"]
        has_rows = isinstance(rows, list)
        parameters = read_parameters(end_point, query)
        errors = find_errors(end_point, parameters, has_rows)
        if errors:
            return 400, {"meta": {}, "data": {"errors": errors}}

        status = 200
        if self.scenario == "partial" and end_point in PARTIAL:
            status = 207
            report = {**report, **PARTIAL[end_point]}
            parameters["type"] = "dns,proxy"
        if not has_rows:
            return status, report
        if name == "activity" and rows:
            rows = activity(rows, parameters, self.seconds_per_row)
        offset = int(parameters["offset"])
        page = itertools.islice(rows, offset, offset + int(parameters["limit"]))
        return status, {**report, "data": list(page)}


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Sandbox

    # Keeps the connection for further requests.
    protocol_version = "HTTP/1.1"

    # Head and body of a response are two writes.
    disable_nagle_algorithm = True

    # Seconds that a client may keep silent.
    timeout = 10

    # What the line of a request says of its token.
    client = ""

    # Whose identities the reports have.
    organization = ORGANIZATION

    def do_POST(self) -> None:
        """Answer a token request."""
        sandbox = self.server
        self.client = ""
        length = int(self.headers["Content-Length"] or 0)
        form = self.rfile.read(length).decode()
        authorized = self.headers.get("Authorization") == f"Basic {CREDENTIALS}"

        if sandbox.scenario == "flaky" and not sandbox.requests:
            self.log_request("no response")
            self.close_connection = True
        elif self.path != "/auth/v2/token":
            self.respond(404, {"message": "Not found"})
        elif sandbox.scenario == "bad-key" or not authorized:
            self.respond(401, {"message": "Invalid authentication credentials"})
        elif "grant_type=client_credentials" not in form.split("&"):
            self.respond(400, {"message": "grant_type must be client_credentials"})
        else:
            organization = self.headers.get("X-Umbrella-OrgId", ORGANIZATION)
            body = sandbox.issue_token(organization)
            token = sandbox.tokens[body["access_token"]]
            self.respond(200, body, f", {token.name}")

    def do_GET(self) -> None:
        """Answer a request for a report, if its token is good."""
        token = self.find_token()
        path, _, query = self.path.partition("?")
        found = re.fullmatch(r"/reports(\.eu)?/v2/(.*)", path)

        if token is None or token.revoked:
            self.respond(401, {"meta": {}, "data": {"error": "unauthorized"}})
        elif token.expires_at < time.time():
            self.respond(400, {"error": "invalid_request"})
        elif found is None:
            self.respond(404, {"message": "Not found"})
        elif self.server.scenario == "region" and found[1] != ".eu":
            place = f"{self.server.region_url}/{found[2]}"
            self.respond(302, {}, f" {place}", ("Location", f"{place}?{query}"))
        else:
            self.send_report(token, found[2], query)

    def find_token(self) -> Token | None:
        """Return what the server knows of the token of this request."""
        access_token = self.headers.get("Authorization", "").partition("Bearer ")[2]
        token = self.server.tokens.get(access_token)
        self.client = ", no token"
        if access_token:
            self.client = ", unknown token"
        if token:
            self.client = f", {token.name}"
            self.organization = token.organization
        return token

    def send_report(self, token: Token, end_point: str, query: str) -> None:
        """Send a report, or the failure that the scenario has in its place."""
        sandbox = self.server
        number = next(sandbox.report_numbers)
        first = sandbox.scenario if number == 1 else ""
        if first == "rate-limit":
            limit = {"message": "API rate limit exceeded"}
            self.respond(429, limit, ", Retry-After: 1", ("Retry-After", "1"))
        elif number <= OUTAGES.get(sandbox.scenario, 0):
            self.respond(503, {"message": "Service unavailable"})
        elif sandbox.scenario == "no-scope" and not end_point.startswith("activity"):
            self.respond(403, {"message": "Access Forbidden"})
        else:
            if first == "expiry":
                # The next report finds the token expired: oauthlib rounds its lifetime
                # up by as much as half a second.
                time.sleep(1.6)
            if first == "revoked":
                token.revoked = True
            try:
                status, body = sandbox.find_report(end_point, query)
                self.respond(status, body, broken_off=first == "flaky")
            except (LookupError, TypeError, ValueError) as error:
                # A test has set something that cannot be sent.
                self.respond(500, {"message": f"the sandbox: {error!r}"})

    def respond(
        self,
        status: int,
        body: Any,
        note: str = "",
        *headers: tuple[str, str],
        broken_off: bool = False,
    ) -> None:
        """Send a response; the note is what its line in `requests` ends with."""
        text = json.dumps(body) + "\n"
        text = text.replace(f"org-{ORGANIZATION}", f"org-{self.organization}")
        content = text.encode()
        length = len(content)
        if broken_off:
            note = ", broken off"
            content = content[: length // 2]
            self.close_connection = True
        self.log_request(f"{status}{note}")

        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep the line of a request; http.server calls it for bad requests too."""
        line = "no HTTP request"
        if self.command:
            line = f"{self.command} {self.path}{self.client}"
        line = SECRETS.sub("...", f"{line} -> {code}")
        # No control characters for the terminal.
        line = line.encode("unicode_escape").decode()
        self.server.requests.append(line)
        if self.server.show_requests:
            sys.stderr.write(f"{line}\n")

    def log_message(self, *args: object) -> None:
        """Leave the terminal to the client."""
