"""What both samples promise, with the API as `responses` plays it."""

import ast
import base64
import json
import logging
import re
import shutil

import pytest
import requests
from helpers import (
    KEY,
    REPORT,
    ROOT,
    SECOND,
    SECRET,
    SUMMARY,
    SUMMARY_URL,
    TOKEN,
    one_sample,
    run,
)

from common.config import REPORTS_URL
from common.session import TIMEOUT, with_retries

BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


def test_the_token_request(query, api):
    api.report()
    assert api.sent == []
    query(SUMMARY)
    request = api.requests[0]
    assert request.method == "POST"
    assert request.url == "https://api.sse.cisco.com/auth/v2/token"
    assert request.body == "grant_type=client_credentials"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"] == f"Basic {BASIC}"
    assert "X-Umbrella-OrgId" not in request.headers
    assert request.req_kwargs["timeout"] == TIMEOUT


def test_the_report_request(query, api):
    api.report()
    assert query(SUMMARY) == REPORT
    request = api.requests[1]
    assert request.method == "GET"
    assert request.url == f"https://api.sse.cisco.com/reports/v2/{SUMMARY}"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.req_kwargs["timeout"] == TIMEOUT


def test_a_caller_may_set_a_time_limit(api):
    api.report()
    with_retries(requests.Session()).get(SUMMARY_URL, timeout=3)
    assert api.requests[0].req_kwargs["timeout"] == 3


def test_an_organization_is_named_in_the_token_request_alone(sample, api):
    api.report()
    sample.query(sample.new(org_id=8211001), SUMMARY)
    named = [request.headers.get("X-Umbrella-OrgId") for request in api.requests]
    assert named == ["8211001", None]


@pytest.mark.parametrize("lifetime", [3600, "240"])
def test_a_token_is_used_until_it_expires_and_no_longer(
    sample, query, api_without_token, clock, lifetime
):
    api = api_without_token
    shares = {"oauthlib": 1, "requests": 0.9}
    good_for = int(lifetime) * shares[sample.name]
    api.token(TOKEN, expires_in=lifetime)
    api.token(SECOND, expires_in=lifetime)
    api.report()
    query(SUMMARY)
    clock.now += good_for - 1
    query(SUMMARY)
    clock.now += 2
    query(SUMMARY)
    assert api.sent == ["POST", TOKEN, TOKEN, "POST", SECOND]


def test_a_token_without_a_lifetime_is_used(query, api_without_token):
    api_without_token.token_response(json={"access_token": TOKEN})
    api_without_token.report()
    query(SUMMARY)
    query(SUMMARY)
    assert api_without_token.sent == ["POST", TOKEN, TOKEN]


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, {"data": {"error": "unauthorized"}}), (400, {"error": "invalid_request"})],
)
def test_a_rejected_token_is_replaced(query, api, status, body):
    api.token(SECOND)
    api.report(status=status, json=body)
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


def test_the_error_of_a_new_token_has_no_other_error_as_its_context(query, api):
    api.token_response(status=403)
    api.report(status=401)
    with pytest.raises(requests.HTTPError) as error:
        query(SUMMARY)
    assert error.value.response.status_code == 403
    assert error.value.__context__ is None


@one_sample
def test_a_number_sign_is_part_of_the_end_point(query, api):
    api.report(f"{REPORTS_URL}/activity?identity=floor%232&limit=5")
    assert query("activity?identity=floor#2&limit=5") == REPORT


@one_sample
def test_a_passing_problem_is_tried_again(query, api_without_token):
    api = api_without_token
    api.token_response(status=500)
    api.token_response(status=502)
    api.token()
    api.report(status=429)
    api.report(status=503)
    api.report(status=504)
    api.report()
    assert query(SUMMARY) == REPORT
    assert api.sent == ["POST", "POST", "POST", TOKEN, TOKEN, TOKEN, TOKEN]


@one_sample
def test_a_server_may_ask_for_thirty_seconds(query, api, clock):
    api.report(status=429, headers={"Retry-After": "30"})
    api.report()
    query(SUMMARY)
    assert clock.slept == [30]


@one_sample
def test_a_server_that_asks_for_more_is_not_waited_for(query, api, clock):
    for seconds in ("31", "9999999999"):
        api.report(status=429, headers={"Retry-After": seconds})
        with pytest.raises(requests.HTTPError, match="429"):
            query(SUMMARY)
    assert clock.slept == []


@one_sample
def test_pauses_double_vary_by_half_and_are_never_shorter(
    query, api, clock, monkeypatch
):
    monkeypatch.setattr("common.session.BACKOFF", (1, 2, 4))
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    api.report(status=429, headers={"Retry-After": "0"})
    with pytest.raises(requests.HTTPError, match="429"):
        query(SUMMARY)
    assert clock.slept == [1.5, 3, 6]


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


def test_a_report_is_printed_as_a_python_dict_or_as_json(
    sample, main, api, credentials
):
    api.report()
    formats = {"oauthlib": str(REPORT), "requests": json.dumps(REPORT, indent=4)}
    assert main(SUMMARY).out == formats[sample.name] + "\n"


def test_the_token_line_has_the_published_fields(main, api, credentials):
    api.report()
    line = main(SUMMARY).err
    token = ast.literal_eval(line.partition("Token: ")[2])
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
    metadata = source.partition("# ///\n")[0]
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    required = re.findall(r"^[^\s#]+", requirements, re.MULTILINE)
    assert 'requires-python = ">=3.8"' in metadata
    needed = {"oauthlib": required, "requests": required[:1]}
    assert re.findall(r'"(\w[^"]*,<\d)"', metadata) == needed[sample.name]


def test_a_lesson_stands_alone(sample, tmp_path, monkeypatch):
    """Without retries and the command line, it does the same in good weather."""
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    alone = re.sub(r"with_retries\((.*)\)\n", r"\1\n", source)
    alone = alone.replace("run(main)", "main()")
    assert "with_retries(" not in alone
    assert "run(" not in alone
    script = tmp_path / "alone.py"
    script.write_text(alone, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run("-m", "common.sandbox", "--show-requests", str(script))
    assert done.code == 0, done.err
    assert done.out.count("requestsblocked") == 2
    assert done.err.count(" -> 200") == 3


@one_sample
def test_the_folder_may_be_moved_into_a_package(sample, tmp_path):
    shutil.copytree(ROOT / "common", tmp_path / "mine" / "api")
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    moved = source.replace("from common.", "from mine.api.")
    (tmp_path / "script.py").write_text(moved, encoding="utf-8")
    done = run("-m", "mine.api.sandbox", "script.py", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.count("requestsblocked") == 2
