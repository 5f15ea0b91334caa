"""The sandbox: its tokens, its reports, how each scenario fails, its command line."""

import base64
import importlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
import requests
from helpers import ROOT, SUMMARY

from common.sandbox import SCENARIOS, Sandbox

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


def bearer(sandbox):
    token = request_token(sandbox).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def get(sandbox, end_point, headers=None, **options):
    url = f"{sandbox.url}/reports/v2/{end_point}"
    return requests.get(url, headers=headers or bearer(sandbox), timeout=10, **options)


def body(response, status=200):
    assert response.status_code == status
    return response.json()


def data(sandbox, end_point, query=f"{DAY}&{ALL}"):
    return body(get(sandbox, f"{end_point}?{query}"))["data"]


def claims(response):
    payload = response.json()["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=="))


# Tokens


def test_a_token_is_like_the_real_one(sandbox):
    response = request_token(sandbox)
    token = response.json()
    jwt = claims(response)
    assert list(token) == ["token_type", "access_token", "expires_in"]
    assert 500 < len(token["access_token"]) < 700
    assert jwt["exp"] - jwt["iat"] == token["expires_in"] == 3600
    assert jwt["scope"] == "reports.aggregations:read reports.granularEvents:read"


def test_a_token_is_for_the_organization_of_the_header(sandbox):
    response = request_token(sandbox, **{"X-Umbrella-OrgId": "77"})
    assert claims(response)["sub"] == "org/77/user/1"
    assert "organization 77" in sandbox.requests[-1]


def test_a_token_needs_the_credentials_and_the_grant_type(sandbox):
    assert body(request_token(sandbox, ("sandbox-key", "wrong")), 401)
    assert body(request_token(sandbox, form={"grant_type": "password"}), 400)


def test_a_report_needs_a_token(sandbox):
    response = get(sandbox, SUMMARY, {"Authorization": "Basic c2FuZGJveA=="})
    unauthorized = {"meta": {}, "data": {"error": "unauthorized"}}
    assert body(response, 401) == unauthorized


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


def test_the_numbers_agree(sandbox):
    summary = data(sandbox, "summary")
    assert data(sandbox, "total-requests") == {"count": summary["requests"]}
    threats = [row["count"] for row in data(sandbox, "top-threats")]
    assert sum(threats) == summary["requestsblocked"]

    for end_point in ["top-destinations", "top-identities"]:
        rows = data(sandbox, end_point)
        blocked = [row["counts"]["blockedrequests"] for row in rows]
        assert sum(blocked) == summary["requestsblocked"]


TIME = "invalid timestamp specified"
LIMIT = "invalid limit: should be integer between 1 and 5000 inclusive"
OFFSET = "invalid offset: should be integer between 0 and 10000 inclusive"
BAD_PARAMETERS = [
    ("summary?from=2026-01-01&to=now", "from", "2026-01-01", TIME),
    ("summary?from=now&to=-1days", "from", "now", TIME),
    ("summary?from=-1days", "to", "", TIME),
    ("summary?to=now", "from", "", TIME),
    (f"activity?{HOUR}", "limit", "", LIMIT),
    (f"top-destinations?{HOUR}&limit=1", "offset", "", OFFSET),
]


def test_a_bad_parameter(sandbox):
    for end_point, param, value, error in BAD_PARAMETERS:
        errors = [{"param": param, "value": value, "error": error}]
        expected = {"meta": {}, "data": {"errors": errors}}
        assert body(get(sandbox, end_point), 400) == expected


def test_an_unknown_end_point_is_told_those_there_are(sandbox):
    message = body(get(sandbox, "nonsense"), 404)["message"]
    for name in [*FIELDS, "activity,"]:
        assert name in message
    assert body(get(sandbox, "../../nonsense"), 404)


# The store of activity


def test_activity_has_a_row_every_five_minutes_the_newest_first(sandbox):
    rows = data(sandbox, "activity", f"{HOUR}&{ALL}")
    times = [row["timestamp"] for row in rows]
    assert times == list(range(1700003400000, 1700000000000, -300000))
    assert rows[-1]["date"] == "2023-11-14"
    assert rows[-1]["time"] == "22:15:00"


def test_a_period_includes_both_its_ends(sandbox):
    ends = f"from=0000000000000&to=0000000300000&{ALL}"
    assert len(data(sandbox, "activity", ends)) == 2
    between = f"from=0000000000001&to=0000000299999&{ALL}"
    assert not data(sandbox, "activity", between)


def test_pages_make_the_whole(sandbox):
    rows = data(sandbox, "activity", f"{HOUR}&{ALL}")
    first = data(sandbox, "activity", f"{HOUR}&limit=7")
    second = data(sandbox, "activity", f"{HOUR}&limit=7&offset=7")
    assert first + second == rows


def test_a_period_may_be_relative(sandbox, clock):
    rows = data(sandbox, "activity", "from=-90minutes&to=now&limit=100")
    assert rows[0]["timestamp"] == clock.now * 1000
    assert len(rows) == 19


def test_several_rows_may_share_a_second():
    with Sandbox() as sandbox:
        sandbox.seconds_per_row = 0.2
        rows = data(sandbox, "activity", f"from=1700000000000&to=1700000001000&{ALL}")
    times = [row["timestamp"] for row in rows]
    assert times == [1700000001000] * 5 + [1700000000000] * 5


def test_a_page_is_found_without_building_the_whole_period():
    with Sandbox() as sandbox:
        sandbox.seconds_per_row = 0.00001
        assert len(data(sandbox, "activity", f"{HOUR}&limit=1&offset=10000")) == 1
        nothing = f"{HOUR}&{ALL}&domains=nowhere.example"
        assert data(sandbox, "activity", nothing) == []


def test_activity_mixes_rows_of_three_kinds(sandbox):
    rows = data(sandbox, "activity")
    for kind in ["dns", "proxy", "firewall"]:
        part = [row for row in rows if row["type"] == kind]
        assert data(sandbox, f"activity/{kind}") == part
        assert {"domain" in row for row in part} == {kind == "dns"}


def test_activity_is_filtered_by_verdict_and_domains(sandbox):
    rows = data(sandbox, "activity/proxy", f"{DAY}&{ALL}&verdict=blocked,other")
    assert {row["verdict"] for row in rows} == {"blocked"}
    domains = "malware.example,botnet.example"
    rows = data(sandbox, "activity", f"{DAY}&{ALL}&domains={domains}")
    assert {row["domain"] for row in rows} == set(domains.split(","))


def test_other_parameters_are_ignored(sandbox):
    rows = data(sandbox, "activity", f"{DAY}&{ALL}&type=dns&order=asc&ip=10.0.0.1")
    assert rows == data(sandbox, "activity")


# Scenarios


def test_expiry(clock):
    with Sandbox("expiry") as sandbox:
        assert request_token(sandbox).json()["expires_in"] == 1
        headers = bearer(sandbox)
        assert body(get(sandbox, SUMMARY, headers))
        expired = get(sandbox, SUMMARY, headers)
    assert body(expired, 400) == {"error": "invalid_request"}


def test_revoked():
    with Sandbox("revoked") as sandbox:
        for expected in ([200, 401, 401], [200, 200]):
            headers = bearer(sandbox)
            statuses = [get(sandbox, SUMMARY, headers).status_code for _ in expected]
            assert statuses == expected
    assert sandbox.requests[-1].endswith("token 2 -> 200")


def test_region():
    with Sandbox("region") as sandbox:
        headers = bearer(sandbox)
        response = get(sandbox, SUMMARY, headers, allow_redirects=False)
        target = response.headers["Location"]
        assert body(requests.get(target, headers=headers, timeout=10))
    region = sandbox.url.replace("127.0.0.1", "localhost")
    assert target == f"{region}/reports.eu/v2/{SUMMARY}"
    assert sandbox.requests[1].endswith(f" -> 302 {region}/reports.eu/v2/summary")


def test_rate_limit():
    with Sandbox("rate-limit") as sandbox:
        response = get(sandbox, SUMMARY)
        assert body(get(sandbox, SUMMARY))
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "1"
    assert sandbox.requests[1].endswith(" -> 429, Retry-After: 1")


def test_flaky():
    with Sandbox("flaky") as sandbox:
        with pytest.raises(requests.ConnectionError):
            request_token(sandbox)
        headers = bearer(sandbox)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(sandbox, SUMMARY, headers)
        assert body(get(sandbox, SUMMARY, headers))
    outcomes = [line.partition(" -> ")[2] for line in sandbox.requests]
    assert outcomes == ["no response", "200, token 1", "200, broken off", "200"]


def test_no_scope():
    with Sandbox("no-scope") as sandbox:
        assert body(get(sandbox, SUMMARY), 403) == {"message": "Access Forbidden"}
        assert data(sandbox, "activity")
        assert claims(request_token(sandbox))["scope"] == "reports.granularEvents:read"


def test_a_scenario_that_there_is_not_or_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match=", ".join(SCENARIOS)):
        Sandbox("revokd")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(socket.AF_INET6,)])
    with pytest.raises(OSError, match=r"needs 127\.0\.0\.1 for localhost"):
        Sandbox("region")


# The server


def exchange(sandbox, text):
    """Send what may not be HTTP, and return all that the server sends."""
    with socket.create_connection(sandbox.server_address, timeout=10) as client:
        client.sendall(text.encode("latin-1"))
        with suppress(ConnectionError):
            return client.makefile("rb").read()
    return b""


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


def test_nothing_answers_after_the_block_and_the_port_is_free():
    with requests.Session() as client:
        with Sandbox() as sandbox:
            client.get(sandbox.url, timeout=10)
        with pytest.raises(requests.ConnectionError):
            client.get(sandbox.url, timeout=10)
        with Sandbox(port=sandbox.server_address[1]) as again:
            assert body(request_token(again))


def test_the_package_works_from_a_zip_file(tmp_path, monkeypatch):
    library = shutil.make_archive(str(tmp_path / "library"), "zip", ROOT, "common")
    monkeypatch.setenv("PYTHONPATH", library)
    program = "from common.sandbox import Sandbox; print(Sandbox().reports.keys())"
    command = [sys.executable, "-c", program]
    assert b"summary" in subprocess.check_output(command, cwd=tmp_path, timeout=60)


# The command line


def start(*arguments):
    command = [sys.executable, "-m", "common.sandbox", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_to_import_the_command_does_nothing():
    assert importlib.import_module("common.sandbox.__main__")


def test_a_script_gets_the_environment_and_its_own_options(tmp_path, monkeypatch):
    monkeypatch.setenv("ORG_ID", "77")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nprint(sys.argv[1:], [os.environ['ORG_ID']])\nsys.exit(7)\n"
    )
    with start(str(script), "a b", "--port") as process:
        assert process.communicate(timeout=10) == ("['a b', '--port'] ['77']\n", "")
    assert process.returncode == 7


def test_a_command_is_found_on_the_path_and_follows_two_dashes(tmp_path, monkeypatch):
    script = tmp_path / "greet"
    script.write_text('#!/bin/sh\necho "$@"\n')
    script.chmod(0o755)
    (tmp_path / "greet.cmd").write_text("@echo %*\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with start("--scenario", "revoked", "--", "greet", "--", "x") as process:
        assert process.communicate(timeout=10) == ("-- x\n", "")


def test_an_unknown_command_is_one_line():
    with start("nonsense") as process:
        assert process.communicate(timeout=10) == (
            "",
            "there is no command 'nonsense'\n",
        )
    assert process.returncode == 127


def test_a_port_that_is_taken_is_one_line(sandbox):
    with start("--port", str(sandbox.server_address[1])) as process:
        err = process.communicate(timeout=10)[1]
    assert process.returncode == 2
    assert "error: cannot serve on port " in err.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(
    ("name", "code"),
    [("SIGTERM", 128 + 15), ("SIGKILL", 128 + 9)],
)
def test_the_command_ends_with_the_sandbox(tmp_path, name, code):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    with start(str(script)) as process:
        pid = int(process.stdout.readline())
        os.kill(pid if name == "SIGKILL" else process.pid, getattr(signal, name))
        # The end of its output, which the script shares.
        assert process.communicate(timeout=10)[0] == ""
    assert process.returncode == code


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C for one process alone")
def test_ctrl_c_is_left_to_the_command(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "try:\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(5)\n"
    )
    with start(str(script)) as process:
        pid = int(process.stdout.readline())
        # A terminal sends it to both.
        process.send_signal(signal.SIGINT)
        os.kill(pid, signal.SIGINT)
        process.communicate(timeout=10)
    assert process.returncode == 5


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C for one process alone")
def test_it_prints_the_variables_and_serves_until_ctrl_c(sandbox, monkeypatch):
    monkeypatch.setenv("no_proxy", "it's.example")
    environment = {}
    with start("--scenario", "bad-key", "--show-requests") as process:
        for _ in sandbox.environment():
            _, assignment = shlex.split(process.stdout.readline())
            environment.update([assignment.split("=", 1)])
        assert "Ctrl-C" in process.stdout.readline()
        url = environment["TOKEN_URL"]
        assert body(requests.post(url, GRANT, auth=AUTH, timeout=10), 401)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "POST /auth/v2/token -> 401\n")
    assert environment["no_proxy"] == "it's.example,127.0.0.1,localhost"
    assert process.returncode == 0
