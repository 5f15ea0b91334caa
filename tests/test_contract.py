"""What both samples promise, with the API as `responses` plays it."""

import ast
import base64
import itertools
import json
import logging
import pickle
import re
import shutil

import oauthlib.oauth2
import pytest
import requests
from helpers import (
    KEY,
    REPORT,
    ROOT,
    SECOND,
    SECRET,
    SUMMARY,
    TOKEN,
    one_sample,
    run,
)

from common.config import REPORTS_URL, load_settings
from common.errors import explain
from common.session import BACKOFF, TIMEOUT

BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


def test_the_two_requests(query, api):
    api.report()
    assert query(SUMMARY) == REPORT
    for_token, for_report = api.requests
    assert for_token.url == "https://api.sse.cisco.com/auth/v2/token"
    assert for_token.body == "grant_type=client_credentials"
    assert for_token.headers["Authorization"] == f"Basic {BASIC}"
    assert for_report.url == f"https://api.sse.cisco.com/reports/v2/{SUMMARY}"
    assert for_report.headers["Authorization"] == f"Bearer {TOKEN}"
    assert for_report.req_kwargs["timeout"] == TIMEOUT


def test_an_organization_is_named_in_the_token_request_alone(sample, api):
    api.report()
    client = sample.client(**{**load_settings(), "org_id": 8211001})
    sample.query(client, SUMMARY)
    named = [request.headers.get("X-Umbrella-OrgId") for request in api.requests]
    assert named == ["8211001", None]


@pytest.mark.parametrize("lifetime", [3600, "240"])
def test_a_token_is_used_until_it_expires_and_no_longer(
    sample, query, api_without_token, clock, lifetime
):
    api = api_without_token
    # A script that keeps the token renews it a sixtieth of its lifetime early.
    early = {"oauthlib": 0, "requests": int(lifetime) / 60}
    api.token(TOKEN, expires_in=lifetime)
    api.token(SECOND, expires_in=lifetime)
    api.report()
    query(SUMMARY)
    clock.now += int(lifetime) - early[sample.name] - 1
    query(SUMMARY)
    clock.now += 2
    query(SUMMARY)
    assert api.sent == ["POST", TOKEN, TOKEN, "POST", SECOND]


def test_a_token_without_a_lifetime_is_used_for_most_of_an_hour(
    query, api_without_token, clock
):
    api_without_token.token_response(json={"access_token": TOKEN})
    api_without_token.report()
    query(SUMMARY)
    clock.now += 3500
    query(SUMMARY)
    assert api_without_token.sent == ["POST", TOKEN, TOKEN]


@pytest.mark.parametrize("status", [401, 400])
def test_a_rejected_token_is_replaced(query, api, status):
    api.token(SECOND)
    api.report(status=status, json={"error": "invalid_request"})
    api.report()
    assert query(SUMMARY) == REPORT
    assert api.sent == ["POST", TOKEN, "POST", SECOND]


def test_a_rejected_token_is_replaced_only_once(query, api):
    api.token(SECOND)
    api.report(status=401)
    with pytest.raises(requests.HTTPError, match="401"):
        query(SUMMARY)
    assert api.sent == ["POST", TOKEN, "POST", SECOND]


def test_another_refusal_leaves_the_token_alone(query, api):
    api.report(status=400, json={"data": {"errors": [{"param": "limit"}]}})
    with pytest.raises(requests.HTTPError, match="400"):
        query(SUMMARY)
    assert api.sent == ["POST", TOKEN]


@pytest.mark.parametrize("sample", ["oauthlib"], indirect=True)
def test_oauthlib_raises_exceptions_of_its_own(
    sample, query, api_without_token, monkeypatch
):
    with pytest.raises(oauthlib.oauth2.InsecureTransportError):
        sample.query(sample.client("http://127.0.0.1:1/", KEY, SECRET), SUMMARY)
    api_without_token.token(expires_in=1)
    # Two seconds pass from one look at the clock to the next.
    monkeypatch.setattr("time.time", itertools.count(1_800_000_000, 2).__next__)
    with pytest.raises(oauthlib.oauth2.TokenExpiredError):
        query(SUMMARY)


def test_a_failure_can_be_sent_from_one_process_to_another(query, api):
    api.report(status=404)
    api.report(body="[]")
    for status in (404, 200):
        with pytest.raises(requests.RequestException) as error:
            query(SUMMARY)
        copy = pickle.loads(pickle.dumps(error.value))
        assert copy.response.status_code == status
        assert explain(copy) == explain(error.value)


@one_sample
def test_a_number_sign_is_part_of_the_end_point(query, api):
    api.report(f"{REPORTS_URL}/activity?identity=floor%232&limit=5")
    assert query("activity?identity=floor#2&limit=5") == REPORT


@one_sample
def test_a_passing_problem_is_tried_again(query, api_without_token):
    api = api_without_token
    api.token_response(status=502)
    api.token()
    for status in (429, 500, 503, 504):
        api.report(status=status)
    api.report()
    assert query(SUMMARY) == REPORT
    assert api.sent == ["POST"] * 2 + [TOKEN] * 5


@one_sample
def test_a_server_may_ask_for_thirty_seconds_and_no_more(query, api, clock):
    for seconds in ("30", "31", "9" * 5000):
        api.report(status=429, headers={"Retry-After": seconds})
    for _ in range(2):
        with pytest.raises(requests.HTTPError, match="429"):
            query(SUMMARY)
    assert clock.slept == [30]


@one_sample
def test_four_pauses_double_vary_by_half_and_are_never_shorter(
    query, api, clock, monkeypatch
):
    monkeypatch.setattr("common.session.BACKOFF", BACKOFF)
    monkeypatch.setattr("random.uniform", lambda low, high: 2 * low + high)
    api.report(status=429, headers={"Retry-After": "0"})
    with pytest.raises(requests.HTTPError, match="429"):
        query(SUMMARY)
    assert clock.slept == [1.25, 2.5, 5, 10]


def test_netrc_is_not_used(query, api, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password hijacked\n")
    monkeypatch.setenv("NETRC", str(netrc))
    region = "https://api.umbrella.com/reports.eu/v2"
    api.redirect(f"{region}/{SUMMARY}")
    api.report(f"{region}/{SUMMARY}")
    query(SUMMARY)
    assert api.requests[0].headers["Authorization"] == f"Basic {BASIC}"
    assert api.sent == ["POST", TOKEN, TOKEN]


def test_the_output_is_the_published_one_but_for_the_token(sample, main, api):
    api.report()
    done = main(SUMMARY)
    formats = {"oauthlib": str(REPORT), "requests": json.dumps(REPORT, indent=4)}
    assert done.out == formats[sample.name] + "\n"
    token = ast.literal_eval(done.err.partition("Token: ")[2])
    assert list(token) == ["token_type", "access_token", "expires_in", "expires_at"]
    assert token["access_token"] == "..."


def test_a_program_that_logs_at_debug_tells_no_secret(query, api, caplog):
    caplog.set_level(logging.DEBUG)
    target = f"https://api.umbrella.com/{TOKEN}"
    api.redirect(target)
    api.report(target)
    query(SUMMARY)
    assert "Redirected to " in caplog.text
    for secret in (SECRET, BASIC, TOKEN):
        assert secret not in caplog.text


def test_the_inline_metadata_is_that_of_the_requirements(sample):
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    packages = re.findall(r'"(\w[^"]*,<\d)"', source.partition("# ///\n")[0])
    assert len(packages) == {"oauthlib": 3, "requests": 1}[sample.name]
    assert all(package in required for package in packages)


def test_a_lesson_stands_alone_and_the_folder_may_be_moved(sample, tmp_path):
    """Without retries and the command line, it does the same in good weather."""
    shutil.copytree(ROOT / "common", tmp_path / "mine" / "api")
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    alone = re.sub(r"with_retries\((.*)\)\n", r"\1\n", source)
    alone = alone.replace("run(main)", "main()")
    assert not re.search(r"(with_retries|run)\(", alone)
    moved = alone.replace("from common.", "from mine.api.")
    (tmp_path / "script.py").write_text(moved, encoding="utf-8")
    done = run("-m", "mine.api.sandbox", "--show-requests", "script.py", cwd=tmp_path)
    assert done.code == 0
    assert done.out.count("requestsblocked") == 2
    assert done.err.count(" -> 200") == 3
