"""The sandbox: what its server answers, what it fails to answer in each scenario, and its command line."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from unittest.mock import patch

import pytest
import requests
from helpers import ROOT, SUMMARY

from common.sandbox import SCENARIOS, Sandbox

AUTH, GRANT = ("sandbox-key", "sandbox-secret"), {"grant_type": "client_credentials"}
PERIOD = "from=1700000000000&to=1700086400000"
UNAUTHORIZED = {"meta": {}, "data": {"error": "unauthorized"}}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def request_token(sandbox, auth=AUTH, data=GRANT, **headers):
    return requests.post(f"{sandbox.url}/auth/v2/token", data, auth=auth, headers=headers, timeout=5)


def bearer(sandbox):
    return {"Authorization": f"Bearer {request_token(sandbox).json()['access_token']}"}


def get(sandbox, end_point, headers=None):
    return requests.get(f"{sandbox.url}/reports/v2/{end_point}", headers=headers or bearer(sandbox), timeout=5)


def data(sandbox, end_point, query=f"{PERIOD}&limit=5000&offset=0&unknown=ignored"):
    response = get(sandbox, f"{end_point}?{query}")
    assert (response.status_code, list(response.json()), response.json()["meta"]) == (200, ["meta", "data"], {})
    return response.json()["data"]


def claims(response):
    return json.loads(base64.urlsafe_b64decode(response.json()["access_token"].split(".")[1] + "=="))


def test_a_token_has_the_fields_of_the_real_one_and_names_the_organization():
    with Sandbox() as sandbox:
        response = request_token(sandbox, **{"X-Umbrella-OrgId": "77"})
    assert list(response.json()) == ["token_type", "access_token", "expires_in"]
    assert 500 < len(response.json()["access_token"]) < 700
    assert (claims(response)["sub"], claims(response)["scope"]) == ("org/77/user/1", "reports.aggregations:read")
    assert claims(response)["exp"] - claims(response)["iat"] == 3600
    assert sandbox.requests == ["POST /auth/v2/token, organization 77 -> 200, token 1"]


@pytest.mark.parametrize(
    ("auth", "form", "status"),
    [(None, GRANT, 401), (("sandbox-key", "wrong"), GRANT, 401), (AUTH, {}, 400), (AUTH, {"grant_type": "x"}, 400)],
)
def test_a_token_needs_the_credentials_and_the_grant_type(sandbox, auth, form, status):
    response = request_token(sandbox, auth, form)
    assert (response.status_code, list(response.json())) == (status, ["message"])


# The required fields of the vendor's OpenAPI description, those of the objects within a row too
CATEGORY, IDENTITY = "id type label integration deprecated", "id label deleted type"
ACTIVITY = f"""type domain verdict timestamp date time querytype returncode internalip externalip identities {IDENTITY}
    categories policycategories {CATEGORY} threats allapplications allowedapplications blockedapplications"""
FIELDS = {
    "summary": """applications applicationsallowed applicationsblocked categories domains files filetypes identities
        identitytypes policycategories policyrequests requests requestsallowed requestsblocked""",
    "total-requests": "count",
    "top-destinations": f"""domain count counts requests allowedrequests blockedrequests bandwidth rank
        policycategories categories {CATEGORY}""",
    "top-threats": "threat threattype count",
    "top-identities": f"requests counts bandwidth rank identity {IDENTITY}",
    "activity": ACTIVITY,
    "activity/dns": ACTIVITY,
}


def names(value):
    if isinstance(value, list):
        return {name for item in value for name in names(item)}
    return set(value) | names(list(value.values())) if isinstance(value, dict) else set()


@pytest.mark.parametrize("end_point", FIELDS)
def test_a_report_has_the_fields_of_the_description_and_pages(sandbox, end_point):
    report = data(sandbox, end_point)
    assert all(
        set(FIELDS[end_point].split()) <= names(row) for row in (report if isinstance(report, list) else [report])
    )
    if isinstance(report, list):
        assert data(sandbox, end_point, f"{PERIOD}&limit=2&offset=1") == report[1:3] != []
        assert data(sandbox, end_point, f"{PERIOD}&limit=1&offset=10000") == []


def test_the_numbers_agree(sandbox):
    summary, activity = data(sandbox, "summary"), data(sandbox, "activity")
    destinations, threats, people = (data(sandbox, f"top-{name}") for name in ("destinations", "threats", "identities"))
    assert data(sandbox, "total-requests") == {"count": summary["requests"]}
    assert summary["requestsblocked"] == sum(row["count"] for row in threats)
    for rows in (destinations, people):
        for name in ("", "allowed", "blocked"):
            assert sum(row["counts"][f"{name}requests"] for row in rows) == summary[f"requests{name}"]
    blocked = {row["domain"]: bool(row["counts"]["blockedrequests"]) for row in destinations}
    assert {row["domain"]: row["verdict"] == "blocked" for row in activity} == blocked


def test_the_times_of_activity_are_in_the_period_the_newest_first(sandbox):
    rows = data(sandbox, "activity")
    times = [row["timestamp"] for row in rows]
    assert len(set(times)) == len(rows) >= 25
    assert [1700086400000, *times, 1700000000000] == sorted([1700086400000, *times, 1700000000000], reverse=True)
    assert (rows[0]["timestamp"], rows[0]["date"], rows[0]["time"]) == (1700086400000, "2023-11-15", "22:13")
    (newest,) = data(sandbox, "activity", "from=-90minutes&to=now&limit=1")
    assert abs(newest["timestamp"] - time.time() * 1000) < 5000


@pytest.mark.parametrize(
    ("path", "param", "value", "error"),
    [
        ("summary?to=now", "from", "", "timestamp specified"),
        ("summary?from=2026-01-01&to=now", "from", "2026-01-01", "timestamp specified"),
        ("top-threats?from=now&to=-1days&limit=1", "from", "now", "timestamp specified"),
        ("activity?from=-1days&to=now", "limit", "", "limit: should be integer between 1 and 5000 inclusive"),
        ("activity?from=now&to=now&limit=0", "limit", "0", "limit: should be integer between 1 and 5000 inclusive"),
        (
            "top-destinations?from=now&to=now&limit=1",
            "offset",
            "",
            "offset: should be integer between 0 and 10000 inclusive",
        ),
    ],
)
def test_a_bad_parameter(sandbox, path, param, value, error):
    response = get(sandbox, path)
    errors = [{"param": param, "value": value, "error": f"invalid {error}"}]
    assert (response.status_code, response.json()) == (400, {"meta": {}, "data": {"errors": errors}})


@pytest.mark.parametrize("end_point", ["nonsense", "a/b/c"])
def test_an_unknown_end_point_is_told_those_there_are(sandbox, end_point):
    response = get(sandbox, end_point)
    assert (response.status_code, [name for name in FIELDS if name not in response.json()["message"]]) == (404, [])


def test_the_data_of_one_sandbox_may_be_changed(sandbox):
    with Sandbox() as changed:
        changed.reports["total-requests"]["data"]["count"] = 7
        assert (data(changed, "total-requests"), data(sandbox, "total-requests")) == ({"count": 7}, {"count": 9462})


@pytest.mark.parametrize(
    ("scenario", "statuses", "body"),
    [
        ("expiry", [200, 400], {"error": "invalid_request"}),
        ("revoked", [200, 401, 401], UNAUTHORIZED),
        ("region", [401, 401], UNAUTHORIZED),  # requests loses the token on the way to another host
        ("rate-limit", [429, 200], {"message": "API rate limit exceeded"}),
        ("outage", [503, 503, 200], {"message": "Service unavailable"}),
        ("no-scope", [403, 403], {"message": "Access denied: the scope of the token is not sufficient"}),
    ],
)
def test_what_a_plain_client_gets(clock, scenario, statuses, body):
    with Sandbox(scenario) as sandbox:
        headers = bearer(sandbox)
        responses = [get(sandbox, SUMMARY, headers) for _ in statuses]
    assert [response.status_code for response in responses] == statuses
    assert next(response.json() for response in responses if response.status_code != 200) == body
    assert responses[0].headers.get("Retry-After") == ("1" if scenario == "rate-limit" else None)


def test_a_scenario_that_there_is_not_or_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match=", ".join(SCENARIOS)):
        Sandbox("revokd")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(socket.AF_INET6,)])
    with pytest.raises(OSError, match=r"needs 127\.0\.0\.1 for localhost"):
        Sandbox("region")


def exchange(sandbox, request):
    """Send what may be no HTTP, and return all that comes until the server closes the connection."""
    with socket.create_connection(sandbox.server_address, timeout=5) as client, suppress(ConnectionError):
        client.sendall(request.encode("latin-1"))
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_line_for_each_request_without_a_secret():
    with Sandbox() as sandbox:
        token = bearer(sandbox)["Authorization"][7:]
        exchange(sandbox, f"GET /{token}/\x1b\xe9?to={token} HTTP/1.1\r\nConnection: close\r\n\r\n")
        exchange(sandbox, "POST /auth/v2/token?x=sandbox-secret HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert sandbox.requests[1:] == [r"GET /.../\x1b\xe9?to=..., no token -> 401", "POST /auth/v2/token?x=... -> 404"]


POST = "POST /auth/v2/token HTTP/1.1\r\nConnection: close\r\nContent-Length: "


@pytest.mark.parametrize(
    "request_head", [f"{POST}x", f"{POST}-1", POST + "9" * 70_000, "HEAD / HTTP/1.1", "\x16\3\1\r\n"], ids=range(5)
)
def test_a_bad_client_harms_nobody(capfd, request_head):
    with Sandbox() as sandbox:
        assert b" 200 " not in (exchange(sandbox, f"{request_head}\r\n\r\n") or b"")
        assert request_token(sandbox).status_code == 200
    assert capfd.readouterr().err == ""


def test_nothing_answers_after_the_block():
    before = set(threading.enumerate())
    with requests.Session() as kept:
        with Sandbox() as sandbox:
            assert kept.get(sandbox.url, timeout=5).status_code == 401
        with pytest.raises(requests.ConnectionError):
            kept.get(sandbox.url, timeout=5)
        for thread in set(threading.enumerate()) - before:
            thread.join(1)
        assert set(threading.enumerate()) == before
        with Sandbox(port=sandbox.server_address[1]) as again:  # free, although the client has not closed its end
            assert request_token(again).status_code == 200


def start(*arguments):
    command, pipe = [sys.executable, "-m", "common.sandbox", *arguments], subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_a_program_gets_the_environment_and_its_own_options(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import os, sys; print(sys.argv[1:], [os.environ['ORG_ID']]); sys.exit(7)")
    with patch.dict(os.environ, {"ORG_ID": "77"}), start(str(program), "a b", "--port") as process:
        assert process.communicate(timeout=5) == ("['a b', '--port'] ['']\n", "")
    assert process.returncode == 7


def test_a_port_that_is_taken_is_one_line(sandbox):
    with start("--port", str(sandbox.server_address[1])) as process:
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out, err.partition("error: cannot serve on port ")[2].count("\n")) == (2, "", 1)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 128 + 15), ("SIGINT", 130), ("SIGKILL", 128 + 9)])
def test_the_program_ends_with_the_sandbox(tmp_path, name, code):
    program = tmp_path / "program.py"
    program.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    with start(str(program)) as process:
        pid = int(process.stdout.readline())
        os.kill(pid if name == "SIGKILL" else process.pid, getattr(signal, name))
        assert process.communicate(timeout=5)[0] == ""  # the end of its output, which the program shares
    assert process.returncode == code


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for one process alone")
def test_it_prints_the_variables_and_serves_until_ctrl_c(sandbox):
    with patch.dict(os.environ, {"no_proxy": "it's.example"}), start("--show-requests") as process:
        names = list(sandbox.environment())
        lines = [process.stdout.readline() for _ in [*names, "the comment"]]
        script = "".join(lines) + "".join(f'echo "${name}"\n' for name in names)
        values = dict(zip(names, subprocess.check_output(["sh", "-c", script], text=True).splitlines()))
        assert values["no_proxy"] == "it's.example,127.0.0.1,localhost"
        assert requests.post(values["TOKEN_URL"], GRANT, auth=AUTH, timeout=5).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=5) == ("", "POST /auth/v2/token -> 200, token 1\n")
    assert process.returncode == 0
