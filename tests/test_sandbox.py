"""Both samples as a user runs them, in the sandbox; and the sandbox itself."""

from __future__ import annotations

import ast
import base64
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Iterator

import pytest
import requests
from helpers import SAMPLES, SUMMARY, Sample, failures, run, started
from wire import reset

from common.sandbox import REPORTS, SCENARIOS, Sandbox
from common.sandbox_server import Handler

SANDBOX = ["-m", "common.sandbox"]
AUTH, GRANT = ("sandbox-key", "sandbox-secret"), {"grant_type": "client_credentials"}
DAY = 86_400_000
FIXED = f"from=1700000000000&to={1700000000000 + DAY}"


# The samples in the sandbox


def asked(*outcomes: str, token: int = 1, base: str = "/reports/v2") -> list[str]:
    """Return the lines of requests for the summary, with a token and with these outcomes."""
    return [f"GET {base}/{SUMMARY}, token {token} -> {outcome}" for outcome in outcomes]


TOKEN_LINE = "POST /auth/v2/token -> 200, token 1"
RENEWED = ["POST /auth/v2/token -> 200, token 2", *asked("200", token=2)]
TOO_EARLY = "seconds: the connection was closed too early"
REGIONAL = asked("200", "200", base="/reports.eu/v2")

# scenario -> number of reports, what each line of the script on stderr holds, what the server saw
ENDINGS = {
    "normal": (2, ["Token: "], [TOKEN_LINE, *asked("200", "200")]),
    "expiry": (2, ["Token: ", "Token: "], [TOKEN_LINE, *asked("200"), *RENEWED]),
    "revoked": (2, ["Token: ", "Token: "], [TOKEN_LINE, *asked("200", "401"), *RENEWED]),
    "region": (2, ["Token: ", "/reports.eu/v2/summary"], [TOKEN_LINE, *asked("302 /reports.eu/v2/summary"), *REGIONAL]),
    "rate-limit": (2, ["Token: ", "in 1.0 seconds: 429"], [TOKEN_LINE, *asked("429, Retry-After: 1", "200", "200")]),
    "outage": (2, ["Token: ", "seconds: 503", "seconds: 503"], [TOKEN_LINE, *asked("503", "503", "200", "200")]),
    "flaky": (
        2,
        [TOO_EARLY, "Token: ", TOO_EARLY],
        ["POST /auth/v2/token -> no answer", TOKEN_LINE, *asked("200, broken off", "200", "200")],
    ),
    "bad-key": (0, ['401 Unauthorized ("Invalid authentication credentials")'], ["POST /auth/v2/token -> 401"]),
    "no-scope": (0, ["Token: ", "403 Forbidden"], [TOKEN_LINE, *asked("403")]),
}


def reports(sample: Sample, out: str) -> list[Any]:
    """Return what was printed: a Python dict a line, or indented JSON."""
    if not sample.prints_json:
        return [ast.literal_eval(line) for line in out.splitlines()]
    return [json.loads(text) for text in re.findall(r"^\{$.*?^\}$", out, re.M | re.S)]


@pytest.fixture(scope="module")
def runs() -> dict[Any, Any]:
    """Every scenario with either sample."""
    both = [(scenario, sample.script) for scenario in SCENARIOS for sample in SAMPLES]
    with ThreadPoolExecutor(4) as pool:  # most of their time is waiting
        futures = {pair: pool.submit(run, *SANDBOX, "--show-requests", "--scenario", *pair) for pair in both}
        return {pair: future.result() for pair, future in futures.items()}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(sample: Sample, runs: dict[Any, Any], scenario: str) -> None:
    done = runs[scenario, sample.script]
    number_of_reports, words, seen = ENDINGS[scenario]
    lines = done.stderr.splitlines()
    told = [line for line in lines if not line.startswith(("POST ", "GET "))]
    assert [line for line in lines if line not in told] == seen
    assert len(told) == len(words)
    assert all(part in line for line, part in zip(told, words))
    assert done.returncode == (0 if number_of_reports else 1)
    assert [report["data"]["requests"] for report in reports(sample, done.stdout)] == [9462] * number_of_reports


def test_arguments_reach_the_sample(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "API_KEY", "TOKEN_URL", "ORG_ID"):
        monkeypatch.setenv(name, "<not for the sandbox>")
    done = run(*SANDBOX, sample.script, "total-requests?from=-1days&to=now", "nonsense", "--show-token")
    assert done.returncode == 1
    assert reports(sample, done.stdout) == [{"meta": {}, "data": {"count": 9462}}]
    assert len(re.findall(r"'access_token': '\S{500,}'", done.stderr)) == 1
    (line,) = failures(done.stderr)
    assert '/nonsense: 404 Not Found ("Not found; the sandbox has summary, total-requests,' in line


def test_help_fits_the_terminal() -> None:
    done = run(*SANDBOX, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\n\nA local token and reports server, to try the samples without an account.\n\n" in done.stdout
    for name in SCENARIOS:
        assert f"\n  {name} " in done.stdout


# The token endpoint


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def token_request(sandbox: Sandbox, auth: Any = AUTH, data: Any = GRANT, **headers: str) -> requests.Response:
    return requests.post(f"{sandbox.url}/auth/v2/token", data, auth=auth, headers=headers, timeout=5)


def new_token(sandbox: Sandbox) -> str:
    return str(token_request(sandbox).json()["access_token"])


def report_request(sandbox: Sandbox, path: str, token: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or new_token(sandbox)}"}
    return requests.get(f"{sandbox.url}/{path}", headers=headers, timeout=5)


def test_the_token_has_the_fields_of_the_real_one(sandbox: Sandbox) -> None:
    token = token_request(sandbox).json()
    assert list(token) == ["token_type", "access_token", "expires_in"]
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    assert 500 < len(token["access_token"]) < 700
    claims = json.loads(base64.urlsafe_b64decode(token["access_token"].split(".")[1] + "=="))
    assert set(claims) == {"iss", "sub", "iat", "nbf", "exp", "scope"}
    assert claims["scope"] == "reports.aggregations:read"
    assert claims["exp"] - claims["iat"] == 3600
    assert new_token(sandbox) != token["access_token"]


@pytest.mark.parametrize("auth", [None, ("sandbox-key", "wrong"), ("wrong", "sandbox-secret")])
def test_wrong_credentials(sandbox: Sandbox, auth: Any) -> None:
    answer = token_request(sandbox, auth)
    assert (answer.status_code, answer.json()) == (401, {"message": "Invalid authentication credentials"})


@pytest.mark.parametrize("data", [{}, {"grant_type": "password"}, b"\xff"])
def test_the_grant_type_is_required(sandbox: Sandbox, data: Any) -> None:
    answer = token_request(sandbox, data=data)
    assert (answer.status_code, list(answer.json())) == (400, ["message"])


def test_an_unknown_token_and_an_expired_one(sandbox: Sandbox) -> None:
    token = new_token(sandbox)
    sandbox.tokens.expiry[token] = time.time() - 1
    answers = [report_request(sandbox, f"reports/v2/{SUMMARY}", name) for name in ("unknown", token)]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (401, {"meta": {}, "data": {"error": "unauthorized"}}),
        (400, {"error": "invalid_request"}),
    ]


# The reports

NUMBER = (int, float)
CATEGORY = {"id": NUMBER, "type": str, "label": str, "integration": bool, "deprecated": bool}
IDENTITY = {"id": NUMBER, "label": str, "deleted": bool, "type": {"id": NUMBER, "type": str, "label": str}}
# The required fields of the vendor's OpenAPI description, with their types.
SHAPES: dict[str, Any] = {
    "summary": {
        **dict.fromkeys(("applications", "applicationsallowed", "applicationsblocked", "categories"), NUMBER),
        **dict.fromkeys(("domains", "files", "filetypes", "identities", "identitytypes"), NUMBER),
        **dict.fromkeys(("policycategories", "policyrequests"), NUMBER),
        **dict.fromkeys(("requests", "requestsallowed", "requestsblocked"), NUMBER),
    },
    "total-requests": {"count": NUMBER},
    "top-destinations": [
        {
            **{"domain": str, "categories": [CATEGORY], "policycategories": [CATEGORY]},
            **dict.fromkeys(("count", "bandwidth", "rank"), NUMBER),
            "counts": dict.fromkeys(("requests", "allowedrequests", "blockedrequests"), NUMBER),
        }
    ],
    "top-threats": [{"threat": str, "threattype": str, "count": NUMBER}],
    "activity": [
        {
            **dict.fromkeys(("type", "domain", "verdict", "date", "time"), str),
            **dict.fromkeys(("querytype", "internalip", "externalip"), str),
            **dict.fromkeys(("timestamp", "returncode"), NUMBER),
            **{"identities": [IDENTITY], "categories": [CATEGORY], "policycategories": [CATEGORY]},
            **dict.fromkeys(("threats", "allapplications", "allowedapplications", "blockedapplications"), list),
        }
    ],
}


def data(sandbox: Sandbox, end_point: str, query: str) -> Any:
    """Return the data of a report, with the `limit` and `offset` that it needs unless the query names them."""
    page = "limit=5000&offset=0&" if "limit" in REPORTS[end_point] else ""
    answer = report_request(sandbox, f"reports/v2/{end_point}?{page}{query}")  # the last value of a name counts
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (list(body), body["meta"]) == (["meta", "data"], {})
    return body["data"]


def check(value: Any, shape: Any) -> None:
    if isinstance(shape, list):
        assert isinstance(value, list)
        for item in value:
            check(item, shape[0])
    elif isinstance(shape, dict):
        assert set(value) >= set(shape)
        for name, part in shape.items():
            check(value[name], part)
    else:
        assert isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


@pytest.mark.parametrize(
    "query", ["from=-90minutes&to=now", "from=-30days&to=now", "from=1700000000000&to=1700000000001"]
)
@pytest.mark.parametrize("end_point", REPORTS)
def test_every_report_has_the_fields_of_the_description(sandbox: Sandbox, end_point: str, query: str) -> None:
    check(data(sandbox, end_point, query), SHAPES[end_point])


@pytest.mark.parametrize("period", [FIXED, "from=-12hours&to=now", "from=1700000000000&to=1700000010000"])
def test_the_numbers_agree(sandbox: Sandbox, period: str) -> None:
    summary = data(sandbox, "summary", period)
    destinations = data(sandbox, "top-destinations", period)
    threats = data(sandbox, "top-threats", period)
    activity = [row for offset in (0, 5000) for row in data(sandbox, "activity", f"{period}&offset={offset}")]
    blocked = [row for row in activity if row["verdict"] == "blocked"]
    assert data(sandbox, "total-requests", period)["count"] == summary["requests"] == len(activity)
    assert summary["requestsallowed"] == len(activity) - len(blocked)
    assert summary["requestsblocked"] == len(blocked) == sum(row["count"] for row in threats)
    assert summary["applications"] == summary["applicationsallowed"] + summary["applicationsblocked"]
    assert summary["domains"] == len(destinations)
    assert {row["domain"]: row["count"] for row in destinations} == Counter(row["domain"] for row in activity)
    assert [row["rank"] for row in destinations] == list(range(1, len(destinations) + 1))
    for row in destinations:
        assert row["count"] == row["counts"]["requests"]
        assert row["count"] == row["counts"]["allowedrequests"] + row["counts"]["blockedrequests"]
    for rows in (destinations, threats):
        assert [row["count"] for row in rows] == sorted((row["count"] for row in rows), reverse=True)
    assert summary["categories"] == len({category["id"] for row in activity for category in row["categories"]})
    assert summary["identities"] == len({row["identities"][0]["id"] for row in activity})
    assert summary["identitytypes"] == len({row["identities"][0]["type"]["id"] for row in activity})
    for row in activity:
        assert row["categories"]
        is_blocked = row["verdict"] == "blocked"
        assert (bool(row["threats"]), bool(row["policycategories"])) == (is_blocked, is_blocked)


def test_the_times_and_pages_of_activity(sandbox: Sandbox) -> None:
    rows = data(sandbox, "activity", FIXED) + data(sandbox, "activity", f"{FIXED}&offset=5000")
    times = [row["timestamp"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert 1700000000000 == times[-1] < times[0] < 1700000000000 + DAY
    for row in rows:
        moment = time.gmtime(row["timestamp"] // 1000)
        assert (row["date"], row["time"]) == (time.strftime("%Y-%m-%d", moment), time.strftime("%H:%M", moment))
    assert data(sandbox, "activity", f"{FIXED}&limit=2&offset=3") == rows[3:5]
    assert data(sandbox, "activity", f"{FIXED}&limit=10&offset=10000") == []
    destinations = data(sandbox, "top-destinations", FIXED)
    assert data(sandbox, "top-destinations", f"{FIXED}&limit=2&offset=1") == destinations[1:3]
    before = time.time() * 1000
    (newest,) = data(sandbox, "activity", "from=-1days&to=-2hours&limit=1")
    assert before - 10_000 <= newest["timestamp"] + 2 * 3_600_000 <= time.time() * 1000


OFFSET = "invalid offset: should be integer between 0 and 10000 inclusive"
LIMIT = "invalid limit: should be integer between 1 and 5000 inclusive"
TIMESTAMP = "invalid timestamp specified"
ORDER = "invalid timestamp specified: should be before to, by at most 30 days"
UNKNOWN = "not implemented in the sandbox"


@pytest.mark.parametrize(
    ("path", "param", "value", "error"),
    [
        ("summary?to=now", "from", "", TIMESTAMP),
        ("summary?from=-1days", "to", "", TIMESTAMP),
        ("summary?from=2026-01-01&to=now", "from", "2026-01-01", TIMESTAMP),
        ("summary?from=-99999days&to=now", "from", "-99999days", TIMESTAMP),
        ("summary?from=-1days&to=tomorrow", "to", "tomorrow", TIMESTAMP),
        ("total-requests?from=now&to=now", "from", "now", ORDER),
        ("top-threats?from=-31days&to=now&limit=1", "from", "-31days", ORDER),
        ("activity?from=-1days&to=now", "limit", "", LIMIT),
        ("activity?from=-1days&to=now&limit=0", "limit", "0", LIMIT),
        ("activity?from=-1days&to=now&limit=5001", "limit", "5001", LIMIT),
        ("top-threats?from=-1days&to=now", "limit", "", LIMIT),
        ("top-destinations?from=-1days&to=now&limit=1", "offset", "", OFFSET),
        ("activity?from=-1days&to=now&limit=1&offset=10001", "offset", "10001", OFFSET),
        ("activity?from=-1days&to=now&limit=1&verdict=blocked", "verdict", "blocked", UNKNOWN),
    ],
)
def test_a_bad_parameter(sandbox: Sandbox, path: str, param: str, value: str, error: str) -> None:
    answer = report_request(sandbox, f"reports/v2/{path}")
    errors = [{"param": param, "value": value, "error": error}]
    assert (answer.status_code, answer.json()) == (400, {"meta": {}, "data": {"errors": errors}})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *[(f"{base}/summary", 200) for base in ("reports/v2", "reports.us/v2", "reports.eu/v2")],
        *[(path, 404) for path in ("elsewhere", "reports/v2", "reports/v3/summary", "reports/v2/a/summary")],
    ],
)
def test_where_reports_are(sandbox: Sandbox, path: str, status: int) -> None:
    assert report_request(sandbox, f"{path}?from=-1days&to=now").status_code == status


# What the server tells of its clients


def exchange(sandbox: Sandbox, request: bytes) -> bytes:
    """Send what may be no HTTP, and return all that comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", sandbox.server_address[1]), timeout=10) as client:
        client.sendall(request)
        received = b""
        with suppress(ConnectionError):
            for piece in iter(lambda: client.recv(65536), b""):
                received += piece
        return received


@pytest.mark.parametrize(
    ("request_line", "authorization", "line"),
    [
        (f"GET /reports/v2/{SUMMARY}", "Bearer stolen", f"GET /reports/v2/{SUMMARY}, unknown token -> 401"),
        (f"GET /reports/v2/{SUMMARY}", "", f"GET /reports/v2/{SUMMARY}, no token -> 401"),
        ("GET /reports/v2/summary?access_token=x&to=now", "", "GET /reports/v2/summary?...&to=now, no token -> 401"),
        ("GET /reports/v2/summary?from=TOKEN", "", "GET /reports/v2/summary?from=..., no token -> 401"),
        ("GET /reports/v2/TOKEN", "", "GET /reports/v2/..., no token -> 401"),
        ("POST /auth/v2/token?client_secret=x", "", "POST /auth/v2/token?... -> 404"),
        ("GET /\x1b[31m\xe9", "", r"GET /\x1b[31m\xe9, no token -> 404"),
        ("TRACE /", "", "TRACE / -> 501"),
        ("GET / nonsense", "", "no HTTP request -> 400"),
    ],
)
def test_a_line_for_each_request_without_a_secret(request_line: str, authorization: str, line: str) -> None:
    with Sandbox() as sandbox:
        token = new_token(sandbox)
        head = f"{request_line} HTTP/1.1\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
        exchange(sandbox, head.replace("TOKEN", token).encode("latin-1"))
    assert sandbox.requests == [TOKEN_LINE, line]


def test_an_unknown_scenario() -> None:
    with pytest.raises(ValueError, match="there is no scenario 'revokd', only normal, expiry, revoked"):
        Sandbox("revokd")


# What clients do


@pytest.fixture
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """After the test, no thread of the server is left, and nothing is on stderr."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
    assert capfd.readouterr().err == ""


POST = b"POST /auth/v2/token HTTP/1.1\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        *[(POST + b"Content-Length: %b\r\n\r\nbody" % n, b"400") for n in (b"x", b"", b"-1", b"9" * 30, b"\xb2")],
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET /reports/v2/summary?x=[1] HTTP/1.1\r\nConnection: close\r\n\r\n", b"401"),
        (b"GET //[ HTTP/1.1\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"DELETE /reports/v2/summary HTTP/1.1\r\n\r\n", b"501"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", b"Bad Request"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
    ids=lambda value: repr(value[:40]),  # Windows limits their length
)
@pytest.mark.usefixtures("quiet")
def test_whatever_is_sent_is_answered(sandbox: Sandbox, request_bytes: bytes, status: bytes) -> None:
    answer = exchange(sandbox, request_bytes)
    assert not answer or status in answer.partition(b"\r\n")[0]  # some systems drop it where not all was read
    assert token_request(sandbox).status_code == 200


def test_a_body_where_none_is_needed(sandbox: Sandbox) -> None:
    with requests.Session() as session:
        for _ in range(2):
            answer = session.get(f"{sandbox.url}/reports/v2/{SUMMARY}", json={"much": "ado"}, timeout=5)
            assert answer.status_code == 401


@pytest.mark.usefixtures("quiet")
def test_a_client_that_resets_in_the_middle(sandbox: Sandbox) -> None:
    path = "/reports/v2/activity?from=-1days&to=now&limit=5000"
    head = f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {new_token(sandbox)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", sandbox.server_address[1]), timeout=10) as client:
        client.sendall(head.encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        reset(client)
    assert report_request(sandbox, f"reports/v2/{SUMMARY}").status_code == 200


@pytest.mark.usefixtures("quiet")
def test_a_client_that_falls_silent(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.1)
    assert exchange(sandbox, POST + b"Content-Length: 50\r\n\r\ngrant_type") == b""


def test_an_error_of_the_server_itself_is_shown(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(Handler, "record")
    assert exchange(sandbox, b"GET / HTTP/1.1\r\n\r\n") == b""
    assert "AttributeError: 'Handler' object has no attribute 'record'" in capfd.readouterr().err


# The command


def test_any_program_that_reads_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    program = tmp_path / "program.py"
    program.write_text("import os, sys\nprint(os.environ['NO_PROXY'], os.environ['no_proxy'])\nsys.exit(7)\n")
    done = run(*SANDBOX, str(program))
    assert (done.returncode, done.stdout) == (7, "example.com,127.0.0.1 example.com,127.0.0.1\n")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_program_ended_by_a_signal(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert run(*SANDBOX, str(program)).returncode == 128 + signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 128 + 15), ("SIGINT", 130)])
def test_the_program_ends_with_the_sandbox(tmp_path: Path, name: str, code: int) -> None:
    program = tmp_path / "program.py"
    program.write_text("import time\nprint('started', flush=True)\ntime.sleep(60)\n")
    with started(*SANDBOX, str(program)) as server:
        assert server.stdout and server.stdout.readline() == "started\n"
        server.send_signal(getattr(signal, name))
        # The end of its output, which the program shares.
        assert server.communicate(timeout=10) == ("", "")
        assert server.returncode == code


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["no_such_sample.py"], "there is no script no_such_sample.py"),
        (["--port", "99999"], r"cannot serve on port 99999 \(.*\): choose another --port, or none for a free one"),
        (["--port", "TAKEN"], r"cannot serve on port TAKEN \(.*\): choose another --port, or none for a free one"),
    ],
)
def test_a_wrong_argument(sandbox: Sandbox, arguments: list[str], error: str) -> None:
    taken = str(sandbox.server_address[1])
    done = run(*SANDBOX, *[argument.replace("TAKEN", taken) for argument in arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(f"-m common.sandbox: error: {error.replace('TAKEN', taken)}\n", done.stderr)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for one process alone")
def test_serving_until_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "it's.example")
    names = ("API_KEY", "API_SECRET", "TOKEN_URL", "REPORTS_URL", "NO_PROXY", "no_proxy")
    with started(*SANDBOX, "--show-requests") as server, requests.Session() as session:
        assert server.stdout
        lines = [server.stdout.readline() for _ in range(9)]
        script = "".join(lines) + "".join(f'echo "${name}"\n' for name in names)
        values = subprocess.check_output(["sh", "-c", script], text=True).splitlines()
        key, secret, token_url, reports_url, *no_proxy = values
        assert session.post(token_url, data=GRANT, auth=(key, secret), timeout=5).status_code == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0
        port = int(token_url.split(":")[2].partition("/")[0])
        with Sandbox(port=port):  # free at once, although the client has not closed its connection
            assert server.communicate() == ("", TOKEN_LINE + "\n")
    assert token_url == f"http://127.0.0.1:{port}/auth/v2/token"
    assert reports_url == f"http://127.0.0.1:{port}/reports/v2"
    assert no_proxy == ["it's.example,127.0.0.1"] * 2
    assert "OAUTHLIB_INSECURE_TRANSPORT" not in "".join(lines)
    assert lines[-1].endswith("-m common.sandbox oauthlib_api_sample_client.py\n")
