"""The sandbox: its tokens, its reports, its scenarios, its command line."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from unittest.mock import Mock

import pytest
import requests
from helpers import ROOT, SUMMARY, run

from common.sandbox import SCENARIOS, Sandbox, __main__

AUTH = ("sandbox-key", "sandbox-secret")
GRANT = {"grant_type": "client_credentials"}

# Rows of activity are at whole five minutes: the first of these is at 1700000100000.
HOUR = "from=1700000000000&to=1700003600000"
DAY = "from=1700000000000&to=1700086400000"
ALL = "limit=5000&offset=0"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def request_token(sandbox, auth=AUTH, form=GRANT, **headers):
    url = f"{sandbox.url}/auth/v2/token"
    return requests.post(url, form, auth=auth, headers=headers, timeout=10)


def bearer(sandbox, **headers):
    token = request_token(sandbox, **headers).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def get(sandbox, end_point, headers=None):
    url = f"{sandbox.url}/reports/v2/{end_point}"
    return requests.get(url, headers=headers or bearer(sandbox), timeout=10)


def body(response, status=200):
    assert response.status_code == status
    return response.json()


def data(sandbox, end_point, query=f"{DAY}&{ALL}", status=200):
    return body(get(sandbox, f"{end_point}?{query}"), status)["data"]


# Tokens


def test_a_token_is_like_the_real_one(sandbox):
    token = request_token(sandbox).json()
    payload = token["access_token"].split(".")[1]
    jwt = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert list(token) == ["token_type", "access_token", "expires_in"]
    assert 500 < len(token["access_token"]) < 700
    assert jwt["exp"] - jwt["iat"] == token["expires_in"] == 3600
    assert jwt["scope"] == "reports.granularEvents:read reports.aggregations:read"


def test_a_token_needs_the_credentials_and_the_grant_type(sandbox):
    assert body(request_token(sandbox, ("sandbox-key", "wrong")), 401)
    assert body(request_token(sandbox, form={"grant_type": "password"}), 400)


def test_another_organization_has_identities_of_its_own(sandbox):
    headers = bearer(sandbox, **{"X-Umbrella-OrgId": "77"})
    theirs = body(get(sandbox, f"activity?{HOUR}&{ALL}", headers))["data"]
    assert ", organization 77 -> 200" in sandbox.requests[-1]
    assert all(".org-77" in str(row) for row in theirs)
    assert all(".org-1234567" in str(row) for row in data(sandbox, "activity"))


# Reports

# The required fields in the vendor's description.
FIELDS = {
    "summary": """applications applicationsallowed applicationsblocked categories
        domains files filetypes identities identitytypes policycategories
        policyrequests requests requestsallowed requestsblocked""",
    "total-requests": "count",
    "top-destinations": """domain count counts bandwidth categories policycategories
        rank""",
    "top-threats": "threat threattype count",
    "top-identities": "identity requests counts bandwidth rank",
    "activity/dns": """type domain verdict timestamp date time querytype returncode
        internalip externalip identities categories policycategories threats
        allapplications allowedapplications blockedapplications""",
    "activity/proxy": """type url verdict timestamp date time internalip externalip
        destinationip port statuscode identities categories policycategories policy
        threats useragent requestsize responsesize""",
    "activity/firewall": """type verdict timestamp date time sourceip sourceport
        destinationip destinationport direction protocol packetsize rule
        applicationprotocols allapplications identities""",
}


def test_each_row_has_the_required_fields(sandbox):
    for end_point, fields in FIELDS.items():
        report = data(sandbox, end_point)
        rows = report if isinstance(report, list) else [report]
        assert rows
        for row in rows:
            assert set(fields.split()) <= set(row), end_point


TIME = "invalid timestamp specified"
LIMIT = "invalid limit: should be integer between 1 and 5000 inclusive"
OFFSET = "invalid offset: should be integer between 0 and 10000 inclusive"
BAD_PARAMETERS = [
    ("summary?from=2026-01-01&to=now", "from", "2026-01-01", TIME),
    ("summary?from=now&to=-1days", "from", "now", TIME),
    ("summary?from=-1days", "to", "", TIME),
    ("summary?from=-31days&to=now", "from", "-31days", "invalid period: should be 30 "),
    (f"activity?{HOUR}", "limit", "", LIMIT),
    (f"top-destinations?{HOUR}&limit=1", "offset", "", OFFSET),
]


def test_a_bad_parameter(sandbox):
    for end_point, param, value, words in BAD_PARAMETERS:
        (error,) = body(get(sandbox, end_point), 400)["data"]["errors"]
        assert error.pop("error").startswith(words)
        assert error == {"param": param, "value": value}
    assert data(sandbox, "summary", "from=-30days&to=now")


def test_an_unknown_end_point_is_told_those_there_are(sandbox):
    message = body(get(sandbox, "nonsense"), 404)["message"]
    for name in [*FIELDS, "'activity'"]:
        assert name in message
    assert body(get(sandbox, "../../nonsense"), 404)


# The store of activity


def test_activity_has_a_row_every_five_minutes_the_newest_first(sandbox):
    rows = data(sandbox, "activity", f"{HOUR}&{ALL}")
    times = [row["timestamp"] for row in rows]
    assert times == list(range(1700003400000, 1700000000000, -300000))
    assert rows[-1]["date"] == "2023-11-14"
    assert data(sandbox, "activity", f"{HOUR}&limit=3&offset=2") == rows[2:5]


def test_a_period_includes_both_its_ends(sandbox):
    ends = f"from=0000000000000&to=0000000300000&{ALL}"
    assert len(data(sandbox, "activity", ends)) == 2
    between = f"from=0000000000001&to=0000000299999&{ALL}"
    assert not data(sandbox, "activity", between)


def test_a_test_may_have_several_rows_in_a_second_or_none():
    with Sandbox() as sandbox:
        sandbox.seconds_per_row = 0.2
        rows = data(sandbox, "activity", f"from=1700000000000&to=1700000001000&{ALL}")
        sandbox.reports["activity"]["data"] = []
        assert data(sandbox, "activity") == []
    times = [row["timestamp"] for row in rows]
    assert times == [1700000001000] * 5 + [1700000000000] * 5


def test_what_a_test_has_set_wrongly_is_an_error_that_says_so():
    with Sandbox() as sandbox:
        sandbox.seconds_per_row = 0
        sandbox.reports["summary"]["data"] = {"requests": {3}}
        for end_point, words in [
            (f"activity?{HOUR}&limit=1", "seconds_per_row must be above 0"),
            (SUMMARY, "Object of type set is not JSON serializable"),
        ]:
            assert words in body(get(sandbox, end_point), 500)["message"]


def test_activity_mixes_rows_of_three_kinds(sandbox):
    rows = data(sandbox, "activity")
    for kind in ["dns", "proxy", "firewall"]:
        part = [row for row in rows if row["type"] == kind]
        assert data(sandbox, f"activity/{kind}") == part
        assert {"domain" in row for row in part} == {kind == "dns"}


def test_activity_is_filtered_by_verdict_and_domains(sandbox):
    domains = "malware.example,www.example.com"
    rows = data(sandbox, "activity", f"{DAY}&{ALL}&verdict=blocked&domains={domains}")
    assert {row["domain"] for row in rows} == {"malware.example"}


# Scenarios; what a client sees of each, the tests of the README show.


def test_a_partial_report_names_what_it_lacks():
    with Sandbox("partial") as sandbox:
        report = body(get(sandbox, f"activity?{DAY}&{ALL}"), 207)
        assert data(sandbox, "total-requests", status=207)["count"] < 9462
        assert data(sandbox, "activity/firewall")
    assert report["meta"]["failed"] == ["firewall"]
    assert {row["type"] for row in report["data"]} == {"dns", "proxy"}


def test_a_token_expires_after_the_first_report_which_alone_is_slow(clock):
    with Sandbox("expiry") as sandbox:
        headers = bearer(sandbox)
        assert body(get(sandbox, SUMMARY, headers))
        assert body(get(sandbox, SUMMARY, headers), 400) == {"error": "invalid_request"}
        assert body(get(sandbox, SUMMARY))
    assert clock.slept == [1.6]


def test_a_scenario_that_there_is_not():
    with pytest.raises(ValueError, match=", ".join(map(repr, SCENARIOS))):
        Sandbox("revokd")


# The server


def exchange(sandbox, text):
    """Send what may not be HTTP, and return all that the server sends."""
    with socket.create_connection(sandbox.server_address, timeout=10) as client:
        client.sendall(text.encode("latin-1"))
        with suppress(ConnectionError):
            return client.makefile("rb").read()
    return b""


def test_a_body_ends_in_a_newline(sandbox):
    assert request_token(sandbox).text.endswith('"expires_in": 3600}\n')


def test_the_lines_of_requests_hide_secrets_and_control_characters(sandbox):
    end = "HTTP/1.1\r\nConnection: close\r\n\r\n"
    token = request_token(sandbox).json()["access_token"]
    get(sandbox, token, {"Authorization": "Bearer eyJhbGciOi"})
    exchange(sandbox, f"GET /{token}/\x1b\xe9?to={token} {end}")
    exchange(sandbox, f"POST /?x=sandbox-secret {end}")
    assert sandbox.requests[-3:] == [
        "GET /reports/v2/..., unknown token -> 401",
        r"GET /.../\x1b\xe9?to=..., no token -> 401",
        "POST /?x=... -> 404",
    ]


def test_bad_clients_harm_nobody(sandbox, capfd):
    exchange(sandbox, "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
    exchange(sandbox, "HEAD / HTTP/1.1\r\n\r\n")
    exchange(sandbox, "\x16\3\1\r\n\r\n")
    assert body(request_token(sandbox))
    assert capfd.readouterr().err == ""


def test_nothing_is_left_after_the_block():
    threads = threading.active_count()
    with requests.Session() as client:
        with Sandbox() as sandbox:
            client.get(sandbox.url, timeout=10)
        with pytest.raises(requests.ConnectionError):
            client.get(sandbox.url, timeout=10)
    assert threading.active_count() <= threads


# The command line


def start(*arguments):
    command = [sys.executable, "-m", "common.sandbox", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_a_script_gets_the_environment_and_its_own_options(tmp_path, monkeypatch):
    monkeypatch.setenv("ORG_ID", "77")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], [os.environ['ORG_ID']])\nsys.exit(7)\n"
    )
    done = run("-m", "common.sandbox", "--", str(script), "a b", "--port")
    assert done == (7, "['a b', '--port'] ['77']\n", "")


def test_an_unknown_command_is_one_line():
    done = run("-m", "common.sandbox", "nonsense")
    assert done == (127, "", "there is no command 'nonsense'\n")


@pytest.mark.skipif(sys.platform == "win32", reason="any text can be a command there")
def test_a_command_that_cannot_be_executed_is_one_line(tmp_path):
    script = tmp_path / "script"
    script.write_text("no interpreter\n")
    script.chmod(0o755)
    done = run("-m", "common.sandbox", str(script))
    assert done.code == 126
    assert done.failure.startswith(f"cannot execute {script}: ")


def test_a_port_that_is_taken_is_one_line(sandbox):
    done = run("-m", "common.sandbox", "--port", str(sandbox.server_address[1]))
    assert done.code == 2
    assert "error: cannot serve on port " in done.err.splitlines()[-1]


def test_a_package_without_its_data_is_one_line(monkeypatch, capsys):
    missing = FileNotFoundError(2, "No such file or directory", "reports.json")
    monkeypatch.setattr("pkgutil.get_data", Mock(side_effect=missing))
    monkeypatch.setattr(sys, "argv", ["sandbox"])
    with pytest.raises(SystemExit, match="2"):
        __main__.main()
    assert "error: reports.json is missing: install" in capsys.readouterr().err


SLEEP = """
import os, signal, sys, time
def end(number, frame):
    sys.exit(5)
signal.signal(signal.SIGINT, end)
signal.signal(getattr(signal, "SIGHUP", signal.SIGINT), end)
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(
    ("name", "receivers", "code"),
    [
        ("SIGTERM", "sandbox", 128 + 15),
        ("SIGHUP", "sandbox", 5),
        ("SIGKILL", "command", 128 + 9),
        # A terminal sends it to both.
        ("SIGINT", "sandbox and command", 5),
    ],
)
def test_a_signal_ends_the_command_and_then_the_sandbox(
    tmp_path, name, receivers, code
):
    script = tmp_path / "script.py"
    script.write_text(SLEEP)
    with start(str(script)) as process:
        pids = {"sandbox": process.pid, "command": int(process.stdout.readline())}
        for receiver in receivers.split(" and "):
            os.kill(pids[receiver], getattr(signal, name))
        # The end of its output, which the command shares.
        assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == code


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C for one process alone")
def test_it_prints_the_variables_and_serves_until_ctrl_c(sandbox):
    with start("--scenario", "bad-key", "--show-requests") as process:
        printed = [process.stdout.readline() for _ in sandbox.environment()]
        assert "Ctrl-C" in process.stdout.readline()
        (url,) = re.findall("export TOKEN_URL=(.*)", "".join(printed))
        assert body(requests.post(url, GRANT, auth=AUTH, timeout=10), 401)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "POST /auth/v2/token -> 401\n")
    assert process.returncode == 0
