"""A local token and reports server, to try the samples without an account.

It answers as the Secure Access API does, with made-up numbers. Its OAuth 2.0 side is oauthlib's own server.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import secrets
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from oauthlib.common import Request
from oauthlib.oauth2 import BackendApplicationServer, RequestValidator

API_KEY, API_SECRET = "sandbox-key", "sandbox-secret"
TOKEN_PATH, REPORTS_PATH, REGIONAL_PATH = "/auth/v2/token", "/reports/v2", "/reports.eu/v2"

SCENARIOS = {
    "normal": "a token lives for an hour, every report is answered (default)",
    "expiry": "a token lives for one second, less than a report takes here",
    "revoked": "the server forgets the token after the first report",
    "region": "the data lies in another region: 302 to /reports.eu/v2",
    "rate-limit": "the first report is answered 429 with Retry-After: 1",
    "outage": "the first two reports are answered 503",
    "bad-key": "the API key is refused: 401 at the token",
    "no-scope": "the API key lacks the scope for reports: 403",
}

# The numbers of all reports agree: each request went to one of these destinations, the last three of them blocked.
DESTINATIONS = {"www.example.com": 4830, "mail.example.org": 2710, "cdn.example.net": 1580}
THREATS = {"malware.example": 214, "phishing.example": 96, "botnet.example": 32}
IDENTITIES = ["laptop-7", "laptop-12", "branch-office", "build-server"]
REQUESTS = [domain for domain, count in {**DESTINATIONS, **THREATS}.items() for _ in range(count)]

REPORTS: dict[str, Any] = {
    "summary": {
        "applications": 5,
        "domains": len(DESTINATIONS) + len(THREATS),
        "requestsblocked": sum(THREATS.values()),
        "filetypes": 4,
        "requests": len(REQUESTS),
        "policycategories": len(THREATS),
        "requestsallowed": sum(DESTINATIONS.values()),
        "categories": 9,
        "identitytypes": 2,
        "applicationsblocked": 1,
        "files": 61,
        "identities": len(IDENTITIES),
        "policyrequests": sum(THREATS.values()),
        "applicationsallowed": 4,
    },
    "total-requests": {"count": len(REQUESTS)},
    "top-destinations": [{"domain": domain, "count": n} for domain, n in {**DESTINATIONS, **THREATS}.items()],
    "top-threats": [{"threat": name.partition(".")[0], "count": n} for name, n in THREATS.items()],
    "activity": [
        {
            "type": "dns",
            "domain": domain,
            "verdict": "blocked" if domain in THREATS else "allowed",
            "timestamp": 1_700_000_000_000 - 9_000 * number,  # milliseconds, the newest first
            "identities": [{"id": number % len(IDENTITIES), "label": IDENTITIES[number % len(IDENTITIES)]}],
        }
        for number, domain in enumerate(REQUESTS)
    ],
}


class Validator(RequestValidator):
    """What oauthlib asks about clients and tokens, answered from memory."""

    def __init__(self, scenario: str) -> None:
        super().__init__()
        self.scenario = scenario
        self.expiry: dict[str, float] = {}  # access token -> seconds since the epoch

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        request.client = SimpleNamespace(client_id=API_KEY)
        basic = "Basic " + base64.b64encode(f"{API_KEY}:{API_SECRET}".encode()).decode()
        return self.scenario != "bad-key" and request.headers.get("Authorization") == basic

    def validate_grant_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        return []

    def validate_scopes(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def save_bearer_token(self, token: Any, *args: Any, **kwargs: Any) -> None:
        self.expiry[token["access_token"]] = time.time() + token["expires_in"] + 1  # as lenient as servers are

    def validate_bearer_token(self, token: str, *args: Any, **kwargs: Any) -> bool:
        return self.expiry.get(token, 0) > time.time()

    def new_token(self, request: Request) -> str:
        """Return a JWT of the usual size; its signature is random."""
        scope = "" if self.scenario == "no-scope" else "reports.aggregations:read"
        claims = ({"alg": "RS256", "typ": "JWT"}, {"iss": "sandbox", "iat": int(time.time()), "scope": scope})
        texts = [json.dumps(part, separators=(",", ":")).encode() for part in claims]
        parts = [base64.urlsafe_b64encode(text).decode().rstrip("=") for text in texts]
        return ".".join([*parts, secrets.token_urlsafe(342)])


class Sandbox(socketserver.ThreadingTCPServer):
    """The server; `with Sandbox() as sandbox` serves until the end of the block."""

    # Not http.server.HTTPServer: that asks the network for the name of 127.0.0.1, which can take seconds.
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, scenario: str = "normal", port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.scenario = scenario
        self.validator = Validator(scenario)
        lifetime = 1 if scenario == "expiry" else 3600
        self.oauth = BackendApplicationServer(self.validator, self.validator.new_token, lifetime)
        self.lock = threading.Lock()
        self.reports = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Sandbox:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a client here."""
        return {
            "API_KEY": API_KEY,
            "API_SECRET": API_SECRET,
            "TOKEN_URL": self.url + TOKEN_PATH,
            "REPORTS_URL": self.url + REPORTS_PATH,
            "NO_PROXY": "127.0.0.1",
        }


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    server: Sandbox
    protocol_version = "HTTP/1.1"  # keeps the connection
    wbufsize = -1  # sends head and body together

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path != TOKEN_PATH:
            return self.answer(404, {"message": "Not found"})
        _, text, status = self.server.oauth.create_token_response(TOKEN_PATH, "POST", body, dict(self.headers))
        token = json.loads(text)
        if status == 401:
            return self.answer(401, {"message": "Invalid authentication credentials"})
        if status != 200:
            return self.answer(status, {"message": token.get("error_description", token["error"])})
        fields = ("token_type", "access_token", "expires_in")
        self.answer(200, {**{name: token[name] for name in fields}, "token_type": "bearer"})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        base, _, end_point = url.path.rpartition("/")
        scenario = self.server.scenario
        with self.server.lock:
            self.server.reports += 1
            nth = self.server.reports
        if base not in (REPORTS_PATH, REGIONAL_PATH):
            return self.answer(404, {"message": "Not found"})
        if scenario == "rate-limit" and nth == 1:
            return self.answer(429, {"message": "API rate limit exceeded"}, {"Retry-After": "1"})
        if scenario == "outage" and nth <= 2:
            return self.answer(503, {"message": "Service unavailable"})
        if scenario == "region" and base == REPORTS_PATH:
            return self.answer(302, {}, {"Location": self.server.url + self.path.replace(base, REGIONAL_PATH, 1)})
        if not self.server.oauth.verify_request(self.path, "GET", None, dict(self.headers))[0]:
            known = self.headers.get("Authorization", "").partition(" ")[2] in self.server.validator.expiry
            expired, unknown = {"error": "invalid_request"}, {"meta": {}, "data": {"error": "unauthorized"}}
            return self.answer(400, expired) if known else self.answer(401, unknown)
        if scenario == "no-scope":
            return self.answer(403, {"message": "Access denied: the scope of the token is not sufficient"})
        if scenario == "expiry":
            time.sleep(1.6)  # so that the next report finds the token expired; oauthlib rounds up to half a second
        if scenario == "revoked" and nth == 1:
            self.server.validator.expiry.clear()
        self.answer(*report(end_point, dict(parse_qsl(url.query))))

    def answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Leave the terminal to the client."""


def report(end_point: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of a report."""
    if end_point not in REPORTS:
        return 404, {"message": "Not found"}
    period = r"now|-\d+(minutes|hours|days)|\d{13}"  # milliseconds since the epoch, or relative
    checks = {"from": (period, ""), "to": (period, ""), "limit": (r"\d{1,4}", "100"), "offset": (r"\d{1,5}", "0")}
    values = {name: query.get(name, default) for name, (_, default) in checks.items()}
    wrong = [name for name, (pattern, _) in checks.items() if not re.fullmatch(pattern, values[name])]
    limit, offset = (0, 0) if wrong else (int(values["limit"]), int(values["offset"]))
    wrong += ["limit"] * (limit > 5000) + ["offset"] * (offset > 10000)
    if wrong:
        errors = [{"param": name, "value": values[name], "error": f"invalid {name}"} for name in wrong]
        return 400, {"meta": {}, "data": {"errors": errors}}
    data = REPORTS[end_point]
    return 200, {"meta": {}, "data": data[offset : offset + limit] if isinstance(data, list) else data}


def main() -> int:
    """Serve one script and return its exit code, or serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python3 -m common.sandbox",
        description=(__doc__ or "").partition("\n")[0],
        epilog="scenarios:\n" + "\n".join(f"  {name:<11}{text}" for name, text in SCENARIOS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", metavar="NAME", choices=SCENARIOS, default="normal", help="one of those below")
    parser.add_argument("--port", metavar="N", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="sample to run; without it, serve until Ctrl-C")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments of the sample")
    options = parser.parse_args()
    if options.script and not os.path.isfile(options.script):
        parser.error(f"there is no script {options.script}")
    try:
        sandbox = Sandbox(options.scenario, options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot serve on port {options.port} ({error}): choose another --port, or none for a free one")
    with sandbox:
        try:
            return run(sandbox, [options.script, *options.args]) if options.script else serve(sandbox)
        except KeyboardInterrupt:
            return 130 if options.script else 0


def run(sandbox: Sandbox, command: list[str]) -> int:
    """Run a script with the sandbox's variables, for that process alone."""
    # oauthlib's clients refuse plain http without OAUTHLIB_INSECURE_TRANSPORT; lower case wins over NO_PROXY.
    variables = {**sandbox.environment(), "no_proxy": "127.0.0.1", "ORG_ID": "", "OAUTHLIB_INSECURE_TRANSPORT": "1"}
    return subprocess.call([sys.executable, *command], env={**os.environ, **variables})


def serve(sandbox: Sandbox) -> int:
    """Print the variables as the shell takes them, and wait."""
    line = '$env:{} = "{}"' if os.name == "nt" else 'export {}="{}"'
    for name, value in sandbox.environment().items():
        print(line.format(name, value))
    print("# The sandbox serves until Ctrl-C; paste the lines above into another terminal.", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    raise SystemExit(main())
