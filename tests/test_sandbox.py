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
import time
from typing import Any, Callable, Iterator

import pytest
import requests
from helpers import ROOT, SAMPLES, SUMMARY, Sample, run_all

from common.sandbox import REPORTS, SCENARIOS, Sandbox

PERIOD = "?from=-1days&to=now"
REFUSED = 'No token from URL/auth/v2/token: 401 Unauthorized, "Invalid authentication credentials". Check API_KEY and'
NO_SCOPE = f'No report from URL/reports/v2/{SUMMARY}: 403 Forbidden, "Access denied: the scope of the token is not'
WAIT = "503: trying again in N seconds"

# scenario -> exit code, number of reports, how each line on stderr begins
ENDINGS = {
    "normal": (0, 2, ["Token: "]),
    "expiry": (0, 2, ["Token: ", "Token: "]),
    "revoked": (0, 2, ["Token: ", "Token: "]),
    "region": (0, 2, ["Token: ", "Redirected to http://127.0.0.1/reports.eu/v2/summary"]),
    "rate-limit": (0, 2, ["Token: ", "429: trying again in 1.0 seconds"]),
    "outage": (0, 2, ["Token: ", WAIT, WAIT]),
    "bad-key": (1, 0, [REFUSED]),
    "no-scope": (1, 0, ["Token: ", NO_SCOPE, NO_SCOPE]),
}


def reports(sample: Sample, out: str) -> list[Any]:
    """Return what was printed: a Python dict a line, or indented JSON."""
    if not sample.prints_json:
        return [ast.literal_eval(line) for line in out.splitlines()]
    return [json.loads(text) for text in re.findall(r"^\{$.*?^\}$", out, re.M | re.S)]


@pytest.fixture(scope="module")
def runs() -> dict[Any, Any]:
    """Every scenario with either sample."""
    command = [sys.executable, "-m", "common.sandbox", "--scenario"]
    both = [(scenario, sample.script) for scenario in SCENARIOS for sample in SAMPLES]
    return run_all({(scenario, script): [*command, scenario, script] for scenario, script in both})


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(sample: Sample, runs: dict[Any, Any], scenario: str) -> None:
    done = runs[scenario, sample.script]
    code, number, lines = ENDINGS[scenario]
    assert done.returncode == code
    assert reports(sample, done.stdout) == [{"meta": {}, "data": REPORTS["summary"]}] * number
    told = re.sub(r"http://127\.0\.0\.1:\d+", "URL", done.stderr)
    if scenario == "outage":
        told = re.sub(r"\d\.\d seconds", "N seconds", told)
    assert len(told.splitlines()) == len(lines)
    for line, beginning in zip(told.splitlines(), lines):
        assert line.startswith(beginning)


def test_arguments_reach_the_sample(sample: Sample, run: Callable[..., Any]) -> None:
    done = run("-m", "common.sandbox", sample.script, f"top-threats{PERIOD}&limit=1", "nonsense", "--show-token")
    assert done.returncode == 1
    assert reports(sample, done.stdout) == [{"meta": {}, "data": REPORTS["top-threats"][:1]}]
    token, failure = done.stderr.splitlines()
    assert len(ast.literal_eval(token[len("Token: ") :])["access_token"]) > 500
    assert re.search(r'/nonsense: 404 Not Found, "Not found"\. Check the spelling of the end point', failure)


def test_the_environment_of_the_user_stands_back(sample: Sample, run: Callable[..., Any], monkeypatch: Any) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("API_KEY", "TOKEN_URL", "ORG_ID"):
        monkeypatch.setenv(name, "<not mine>")
    monkeypatch.setenv("no_proxy", "example.com")
    assert run("-m", "common.sandbox", sample.script).returncode == 0


def test_without_credentials(sample: Sample, run: Callable[..., Any]) -> None:
    done = run(sample.script)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Settings: API_KEY is not set; API_SECRET is not set. ")
    assert done.stderr.endswith(f"python3 -m common.sandbox {sample.script}\n")


@pytest.mark.parametrize(
    "command", ["oauthlib_api_sample_client.py", "requests_api_sample_client.py", "-m common.sandbox"]
)
def test_help_fits_the_terminal(run: Callable[..., Any], monkeypatch: Any, command: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    named = SCENARIOS if "sandbox" in command else ("API_KEY", "API_SECRET", "TOKEN_URL", "REPORTS_URL", "ORG_ID")
    for name in named:
        assert f"\n  {name} " in done.stdout


# The server


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def token_request(sandbox: Sandbox, auth: Any = ("sandbox-key", "sandbox-secret"), **data: str) -> requests.Response:
    return requests.post(f"{sandbox.url}/auth/v2/token", data=data, auth=auth, timeout=5)


def report_request(sandbox: Sandbox, path: str, token: str | None = None) -> requests.Response:
    token = token or token_request(sandbox, grant_type="client_credentials").json()["access_token"]
    return requests.get(f"{sandbox.url}/{path}", headers={"Authorization": f"Bearer {token}"}, timeout=5)


def test_the_token_has_the_fields_of_the_real_one(sandbox: Sandbox) -> None:
    answer = token_request(sandbox, grant_type="client_credentials")
    token = answer.json()
    assert answer.status_code == 200
    assert list(token) == ["token_type", "access_token", "expires_in"]
    assert (token["token_type"], token["expires_in"]) == ("bearer", 3600)
    assert 500 < len(token["access_token"]) < 700
    claims = token["access_token"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["scope"] == "reports.aggregations:read"
    assert token_request(sandbox, grant_type="client_credentials").json()["access_token"] != token["access_token"]


@pytest.mark.parametrize("auth", [None, ("sandbox-key", "wrong"), ("wrong", "sandbox-secret")])
def test_wrong_credentials(sandbox: Sandbox, auth: Any) -> None:
    answer = token_request(sandbox, auth, grant_type="client_credentials")
    assert (answer.status_code, answer.json()) == (401, {"message": "Invalid authentication credentials"})


@pytest.mark.parametrize("data", [{}, {"grant_type": "password"}])
def test_the_grant_type_is_required(sandbox: Sandbox, data: dict[str, str]) -> None:
    answer = token_request(sandbox, **data)
    assert answer.status_code == 400
    assert list(answer.json()) == ["message"]


def test_an_unknown_token(sandbox: Sandbox) -> None:
    answer = report_request(sandbox, f"reports/v2/{SUMMARY}", token="unknown")
    assert (answer.status_code, answer.json()) == (401, {"meta": {}, "data": {"error": "unauthorized"}})


def test_an_expired_token(sandbox: Sandbox) -> None:
    token = token_request(sandbox, grant_type="client_credentials").json()["access_token"]
    sandbox.validator.expiry[token] = time.time() - 1
    answer = report_request(sandbox, f"reports/v2/{SUMMARY}", token)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize("path", ["elsewhere", "reports/v2", "reports/v3/summary", "reports/v2/a/summary"])
def test_an_unknown_path(sandbox: Sandbox, path: str) -> None:
    answer = report_request(sandbox, path + PERIOD)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})


def test_a_token_from_another_path(sandbox: Sandbox) -> None:
    assert requests.post(f"{sandbox.url}/token", timeout=5).status_code == 404


@pytest.mark.parametrize("period", [PERIOD, "?from=1700000000000&to=1700086400000", "?from=-12hours&to=-1hours"])
@pytest.mark.parametrize("end_point", REPORTS)
def test_every_report(sandbox: Sandbox, end_point: str, period: str) -> None:
    body = report_request(sandbox, f"reports/v2/{end_point}{period}").json()
    assert list(body) == ["meta", "data"]
    assert body["data"] == (REPORTS[end_point][:100] if isinstance(REPORTS[end_point], list) else REPORTS[end_point])


def test_the_numbers_agree() -> None:
    summary = REPORTS["summary"]
    assert len(summary) == 14
    assert all(number > 0 for number in summary.values())
    assert summary["requests"] == summary["requestsallowed"] + summary["requestsblocked"]
    assert summary["applications"] == summary["applicationsallowed"] + summary["applicationsblocked"]
    assert REPORTS["total-requests"]["count"] == summary["requests"] == len(REPORTS["activity"])
    assert sum(row["count"] for row in REPORTS["top-destinations"]) == summary["requests"]
    assert sum(row["count"] for row in REPORTS["top-threats"]) == summary["requestsblocked"]
    blocked = [row for row in REPORTS["activity"] if row["verdict"] == "blocked"]
    assert len(blocked) == summary["requestsblocked"]


def test_pages(sandbox: Sandbox) -> None:
    page = report_request(sandbox, f"reports/v2/activity{PERIOD}&limit=2&offset=3").json()["data"]
    assert page == REPORTS["activity"][3:5]


@pytest.mark.parametrize(
    ("query", "param", "value"),
    [
        ("to=now", "from", ""),
        ("from=-1days", "to", ""),
        ("from=2026-01-01&to=now", "from", "2026-01-01"),
        ("from=-1days&to=now&limit=5001", "limit", "5001"),
        ("from=-1days&to=now&limit=many", "limit", "many"),
        ("from=-1days&to=now&offset=10001", "offset", "10001"),
        ("from=-1days&to=now&offset=-1", "offset", "-1"),
    ],
)
def test_a_bad_parameter(sandbox: Sandbox, query: str, param: str, value: str) -> None:
    answer = report_request(sandbox, f"reports/v2/activity?{query}")
    error = {"param": param, "value": value, "error": f"invalid {param}"}
    assert (answer.status_code, answer.json()) == (400, {"meta": {}, "data": {"errors": [error]}})


# The command


def test_a_script_that_is_not_there(run: Callable[..., Any]) -> None:
    done = run("-m", "common.sandbox", "no_such_sample.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no script no_such_sample.py" in done.stderr


def test_the_exit_code_is_that_of_the_script(run: Callable[..., Any], tmp_path: Any) -> None:
    (tmp_path / "script.py").write_text("raise SystemExit(7)")
    assert run("-m", "common.sandbox", str(tmp_path / "script.py")).returncode == 7


def test_a_port_in_use(run: Callable[..., Any], sandbox: Sandbox) -> None:
    port = sandbox.url.rpartition(":")[2]
    done = run("-m", "common.sandbox", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"python3 -m common.sandbox: error: cannot serve on port {port} (")
    assert done.stderr.endswith("choose another --port, or none for a free one\n")


def test_a_port_that_is_none(run: Callable[..., Any]) -> None:
    done = run("-m", "common.sandbox", "--port", "99999")
    assert done.returncode == 2
    assert "cannot serve on port 99999" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for one process alone")
def test_serving_until_ctrl_c() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "common.sandbox", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout and server.stderr
        lines = [server.stdout.readline() for _ in range(6)]
        exports = dict(re.findall(r'^export (\w+)="(.*)"$', "".join(lines), re.M))
        answer = requests.post(
            exports["TOKEN_URL"],
            data={"grant_type": "client_credentials"},
            auth=(exports["API_KEY"], exports["API_SECRET"]),
            timeout=5,
        )
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=10) == 0
        assert server.stderr.read() == ""
    assert exports["TOKEN_URL"] == f"http://127.0.0.1:{port}/auth/v2/token"
    assert exports["REPORTS_URL"] == f"http://127.0.0.1:{port}/reports/v2"
    assert "OAUTHLIB_INSECURE_TRANSPORT" not in exports
    assert answer.status_code == 200
