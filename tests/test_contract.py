"""What both samples promise, whichever one it is, with the API as `responses` plays it."""

import ast
import base64
import io
import json
import logging
import os
import pickle
import re
import shutil

import pytest
from helpers import KEY, REPORT, ROOT, SECOND, SECRET, SUMMARY, TOKEN, one_sample, run

from common.api import ApiError, TokenRejected
from common.config import REPORTS_URL, TOKEN_URL
from common.transport import TIMEOUT

URL = f"{REPORTS_URL}/{SUMMARY}"
REGION = "https://api.umbrella.com/reports.eu/v2"
BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


@pytest.mark.parametrize("org_id", ["", "77", 8211001])
def test_the_two_requests(sample, api, org_id):
    api.token(TOKEN)
    api.report()
    client = sample.new(org_id=org_id)
    assert api.wire == []
    assert sample.query(client, SUMMARY) == REPORT
    post, get = api.requests
    assert (post.method, post.url) == ("POST", "https://api.sse.cisco.com/auth/v2/token")
    assert (post.body, post.headers["Authorization"]) == ("grant_type=client_credentials", f"Basic {BASIC}")
    assert post.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (get.method, get.url, get.headers["Authorization"]) == ("GET", URL, f"Bearer {TOKEN}")
    assert [request.headers.get("X-Umbrella-OrgId", "") for request in api.requests] == [str(org_id), ""]
    assert [request.req_kwargs["timeout"] for request in api.requests] == [TIMEOUT, TIMEOUT]


@pytest.mark.parametrize("lifetime", ["3600", 240, None, 0, "soon"])
def test_a_token_is_used_until_it_expires_and_no_longer(sample, api, clock, lifetime):
    api.token(TOKEN, SECOND, expires_in=lifetime)
    api.report()
    client = sample.new()
    good_for = sample.lifetime * (240 if lifetime == 240 else 3600)  # without a usable lifetime, an hour
    for wait in (0, good_for - 1, 2, good_for - 1):
        clock.now += wait
        sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN, "POST", SECOND, SECOND]


@pytest.mark.parametrize(("status", "body"), [(401, None), (400, {"error": "invalid_request"})])
def test_a_rejected_token_is_replaced_once(sample, api, status, body):
    api.token(TOKEN, SECOND)
    api.report(status=status, json=body)
    api.report()
    api.report(status=status, json=body)
    client = sample.new()
    assert sample.query(client, SUMMARY) == REPORT
    assert api.wire == ["POST", TOKEN, "POST", SECOND]
    with pytest.raises(TokenRejected) as error:
        sample.query(client, SUMMARY)
    assert api.wire[4:] == [SECOND, "POST", SECOND]
    copy = pickle.loads(pickle.dumps(error.value))
    assert (type(copy), str(copy), copy.response.status_code) == (TokenRejected, str(error.value), status)


def test_odd_responses_that_are_good(sample, api):
    odd = {"access_token": TOKEN, "token_type": None, "expires_at": "soon", "scope": 5, "error": 1, "mac_key": 2}
    api.mock.post(TOKEN_URL, body=b"\xef\xbb\xbf" + json.dumps(odd).encode())  # after a byte-order mark
    api.report("apiUsage/requests", json={"items": []})  # documented without data
    assert sample.query(sample.new(), "apiUsage/requests") == {"items": []}


@pytest.mark.parametrize("slash", ["", "/"])
def test_where_a_base_and_an_end_point_meet(sample, api, slash):
    api.token(TOKEN)
    api.report("activity?identity=floor%232&limit=5")
    client = sample.new(reports_url=REPORTS_URL + slash)
    assert sample.query(client, f"{slash}activity?identity=floor#2&limit=5") == REPORT
    assert api.requests[1].url == f"{REPORTS_URL}/activity?identity=floor%232&limit=5"


def test_the_detour_to_another_region_is_paid_once(sample, api):
    api.token(TOKEN, SECOND)
    api.redirect(URL, "/hop")
    api.redirect("https://api.sse.cisco.com/hop", f"{REGION}/{SUMMARY}")
    api.report(base=REGION, status=401)
    api.report(base=REGION)
    client = sample.new()
    assert [sample.query(client, SUMMARY) for _ in range(2)] == [REPORT] * 2
    hops = [URL, "https://api.sse.cisco.com/hop", *[f"{REGION}/{SUMMARY}"] * 3]
    assert [request.url for request in api.requests if request.method == "GET"] == hops
    assert api.wire == ["POST", TOKEN, TOKEN, TOKEN, "POST", SECOND, SECOND]


@pytest.mark.parametrize(
    "host", ["https://api.sse.cisco.com", "https://API.Umbrella.COM", "https://a.b.cisco.com:8443"]
)
def test_the_token_goes_along_to_a_trusted_host(sample, api, host):
    api.token(TOKEN)
    api.redirect(URL, f"{host}/elsewhere", status=307)
    api.redirect(f"{host}/elsewhere", URL)
    with pytest.raises(ApiError, match="which is not followed"):  # the sixth of them, in a circle
        sample.query(sample.new(), SUMMARY)
    assert api.wire == ["POST"] + [TOKEN] * 6


ELSEWHERE = """https://evil.example/reports/v2/summary https://umbrella.com.evil.example/ https://evilumbrella.com/
    https://api.umbrella.com@evil.example/ https://user:hush@api.umbrella.com/ https://evil.example/.cisco.com/
    http://api.sse.cisco.com/reports/v2/ http://api.umbrella.com/ http://localhost:1/"""


@one_sample
@pytest.mark.parametrize("target", re.findall(r"\S+", ELSEWHERE))
def test_a_redirect_elsewhere_is_refused_before_anything_is_sent(sample, api, target):
    api.token(TOKEN)
    api.redirect(URL, target)
    with pytest.raises(ApiError, match="which is not followed") as error:
        sample.query(sample.new(), SUMMARY)
    assert (api.wire, "hush" in str(error.value)) == (["POST", TOKEN], False)


@pytest.mark.parametrize("status", [302, 307])
def test_a_secret_is_never_redirected(sample, api, status):
    api.mock.post(TOKEN_URL, status=status, headers={"Location": "https://api.umbrella.com/auth/v2/token"})
    with pytest.raises(ApiError, match=r"^Could not get a token from .*: redirected to https://api\.umbrella"):
        sample.query(sample.new(), SUMMARY)
    assert api.wire == ["POST"]


def test_netrc_is_not_used(sample, api, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login mallory password hijacked\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    api.token(TOKEN)
    api.redirect(URL, f"{REGION}/{SUMMARY}")
    api.report(base=REGION)
    sample.query(sample.new(), SUMMARY)
    assert api.requests[0].headers["Authorization"] == f"Basic {BASIC}"
    assert api.wire == ["POST", TOKEN, TOKEN]


@one_sample
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_problem_is_tried_again(sample, api, status):
    api.mock.post(TOKEN_URL, status=status)
    api.token(TOKEN)
    api.report(status=status)
    api.report()
    assert sample.query(sample.new(), SUMMARY) == REPORT
    assert api.wire == ["POST", "POST", TOKEN, TOKEN]


@one_sample
@pytest.mark.parametrize(("pause", "waits"), [("30", [30] * 3), ("31", []), ("a date", [1, 2, 3]), ("", [1, 2, 3])])
def test_the_waits(sample, api, clock, monkeypatch, pause, waits):
    monkeypatch.setattr("common.transport.BACKOFF", (1, 2, 3))
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    api.token(TOKEN)
    api.report(status=429, headers={"Retry-After": pause})
    with pytest.raises(ApiError, match="429 Too Many Requests"):
        sample.query(sample.new(), SUMMARY)
    assert clock.slept == waits


def test_reports_on_stdout_and_one_token_line_on_stderr(sample, main, api, credentials):
    api.token(TOKEN)
    api.report()
    code, out, err = main()
    report = f"{REPORT}\n" if sample.lifetime == 1 else json.dumps(REPORT, indent=4) + "\n"
    assert (code, out, api.wire) == (0, report * 2, ["POST", TOKEN, TOKEN])
    token = ast.literal_eval(err.partition("Token: ")[2])
    assert list(token) == ["token_type", "access_token", "expires_in", "expires_at"]
    assert (token["token_type"], token["access_token"], token["expires_in"]) == ("bearer", "eyJ0b2tl...", 3600)


def test_a_report_is_printed_before_the_next_request(sample, api, credentials, monkeypatch):
    pipe, printed = io.BytesIO(), []
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe, "ascii"))  # which cannot show every character

    def respond(request):
        printed.append(pipe.getvalue().count(b"rich"))
        return 200, {}, json.dumps({"data": "Zürich"})

    api.token(TOKEN)
    api.mock.add_callback("GET", f"{REPORTS_URL}/report", respond)
    assert (sample.main("report", "report"), printed) == (0, [0, 1])


def test_missing_credentials(sample):
    code, out, err = run(sample.script)
    assert (code, out) == (2, "")
    assert re.fullmatch("Settings: API_KEY is not set.*; API_SECRET is not set.*README.md.\n", err)


def test_a_program_that_logs_at_debug_tells_no_secret(sample, api, caplog):
    caplog.set_level(logging.DEBUG)
    api.token(TOKEN)
    api.report()
    sample.query(sample.new(), SUMMARY)
    assert "Token: " in caplog.text
    assert [secret for secret in (SECRET, BASIC, TOKEN) if secret in caplog.text] == []


def test_the_inline_metadata_is_that_of_the_requirements(sample):
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    metadata = re.match(r'# /// script\n# requires-python = ">=3\.8"\n# dependencies = (.*)\n# ///\n', source)
    required = re.findall("^[^\\s]+", (ROOT / "requirements.txt").read_text(), re.M)
    needed = required if sample.lifetime == 1 else required[:1]  # the second script imports requests alone
    assert ast.literal_eval(metadata[1]) == needed


def test_the_folder_may_be_moved_into_a_package(sample, tmp_path):
    shutil.copytree(ROOT / "common", tmp_path / "package" / "cisco", ignore=shutil.ignore_patterns("__pycache__"))
    source = (ROOT / sample.script).read_text(encoding="utf-8").replace("from common.", "from package.cisco.")
    (tmp_path / "script.py").write_text(source, encoding="utf-8")
    done = run("-m", "package.cisco.sandbox", "script.py", cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""})
    assert (done.code, done.out.count("requestsblocked")) == (0, 2)
