"""What both samples promise, with the API as `responses` plays it."""

import ast
import base64
import json
import logging
import os
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
    TOKEN,
    one_sample,
    run,
)

from common.config import REPORTS_URL
from common.sandbox import Sandbox
from common.session import TIMEOUT

BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


def test_the_token_request(sample, api):
    api.token()
    api.report()
    client = sample.new()
    assert api.sent == []
    sample.query(client, SUMMARY)
    request = api.requests[0]
    assert request.method == "POST"
    assert request.url == "https://api.sse.cisco.com/auth/v2/token"
    assert request.body == "grant_type=client_credentials"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"] == f"Basic {BASIC}"
    assert "X-Umbrella-OrgId" not in request.headers
    assert request.req_kwargs["timeout"] == TIMEOUT


def test_the_report_request(sample, api):
    api.token()
    api.report()
    assert sample.query(sample.new(), SUMMARY) == REPORT
    request = api.requests[1]
    assert request.method == "GET"
    assert request.url == f"https://api.sse.cisco.com/reports/v2/{SUMMARY}"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.req_kwargs["timeout"] == TIMEOUT


def test_an_organization_is_named_in_the_token_request_alone(sample, api):
    api.token()
    api.report()
    sample.query(sample.new(org_id=8211001), SUMMARY)
    named = [request.headers.get("X-Umbrella-OrgId") for request in api.requests]
    assert named == ["8211001", None]


@pytest.mark.parametrize("lifetime", [3600, "240"])
def test_a_token_is_used_until_it_expires_and_no_longer(sample, api, clock, lifetime):
    shares = {"oauthlib": 1, "requests": 0.9}
    good_for = int(lifetime) * shares[sample.name]
    api.token(TOKEN, expires_in=lifetime)
    api.token(SECOND, expires_in=lifetime)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    clock.now += good_for - 1
    sample.query(client, SUMMARY)
    clock.now += 2
    sample.query(client, SUMMARY)
    assert api.sent == ["POST", TOKEN, TOKEN, "POST", SECOND]


def test_a_token_without_a_lifetime_is_used(sample, api):
    api.token_response(json={"access_token": TOKEN})
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    sample.query(client, SUMMARY)


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, {"data": {"error": "unauthorized"}}), (400, {"error": "invalid_request"})],
)
def test_a_rejected_token_is_replaced(sample, api, status, body):
    api.token(TOKEN)
    api.token(SECOND)
    api.report(status=status, json=body)
    api.report()
    assert sample.query(sample.new(), SUMMARY) == REPORT
    assert api.sent == ["POST", TOKEN, "POST", SECOND]


def test_a_rejected_token_is_replaced_only_once(sample, api):
    api.token(TOKEN)
    api.token(SECOND)
    api.report(status=401)
    with pytest.raises(requests.HTTPError, match="401"):
        sample.query(sample.new(), SUMMARY)
    assert api.sent == ["POST", TOKEN, "POST", SECOND]


def test_another_refusal_leaves_the_token_alone(sample, api):
    api.token()
    api.report(status=400, json={"data": {"errors": [{"param": "limit"}]}})
    with pytest.raises(requests.HTTPError, match="400"):
        sample.query(sample.new(), SUMMARY)
    assert api.sent == ["POST", TOKEN]


def test_the_error_of_a_new_token_has_no_other_error_as_its_context(sample, api):
    api.token()
    api.token_response(status=403)
    api.report(status=401)
    with pytest.raises(requests.HTTPError) as error:
        sample.query(sample.new(), SUMMARY)
    assert error.value.response.status_code == 403
    assert error.value.__context__ is None


@one_sample
def test_slashes_where_a_base_and_an_end_point_meet(sample, api):
    api.token()
    api.report()
    client = sample.new(reports_url=f"{REPORTS_URL}/")
    assert sample.query(client, f"/{SUMMARY}") == REPORT


@one_sample
def test_a_number_sign_is_part_of_the_end_point(sample, api):
    api.token()
    api.report(f"{REPORTS_URL}/activity?identity=floor%232&limit=5")
    sample.query(sample.new(), "activity?identity=floor#2&limit=5")
    assert api.urls == [f"{REPORTS_URL}/activity?identity=floor%232&limit=5"]


@one_sample
def test_a_passing_problem_is_tried_again(sample, api):
    api.token_response(status=500)
    api.token_response(status=502)
    api.token()
    api.report(status=429)
    api.report(status=503)
    api.report(status=504)
    api.report()
    assert sample.query(sample.new(), SUMMARY) == REPORT
    assert api.sent == ["POST", "POST", "POST", TOKEN, TOKEN, TOKEN, TOKEN]


@one_sample
def test_a_server_may_ask_for_thirty_seconds(sample, api, clock):
    api.token()
    api.report(status=429, headers={"Retry-After": "30"})
    api.report()
    sample.query(sample.new(), SUMMARY)
    assert clock.slept == [30]


@one_sample
def test_a_server_that_asks_for_more_is_not_waited_for(sample, api, clock):
    api.token()
    api.report(status=429, headers={"Retry-After": "9999999999"})
    with pytest.raises(requests.HTTPError, match="429"):
        sample.query(sample.new(), SUMMARY)
    assert clock.slept == []


@one_sample
def test_pauses_double_vary_by_half_and_are_never_shorter(
    sample, api, clock, monkeypatch
):
    monkeypatch.setattr("common.session.BACKOFF", (1, 2, 4))
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    api.token()
    api.report(status=429, headers={"Retry-After": "0"})
    with pytest.raises(requests.HTTPError, match="429"):
        sample.query(sample.new(), SUMMARY)
    assert clock.slept == [1.5, 3, 6]


def test_netrc_is_not_used(sample, api, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password hijacked\n")
    monkeypatch.setenv("NETRC", str(netrc))
    region = "https://api.umbrella.com/reports.eu/v2"
    api.token()
    api.redirect(f"{region}/{SUMMARY}")
    api.report(f"{region}/{SUMMARY}")
    sample.query(sample.new(), SUMMARY)
    assert api.requests[0].headers["Authorization"] == f"Basic {BASIC}"
    assert api.sent == ["POST", TOKEN, TOKEN]


def test_a_report_is_printed_as_a_python_dict_or_as_json(
    sample, main, api, credentials
):
    api.token()
    api.report()
    done = main(SUMMARY)
    formats = {"oauthlib": str(REPORT), "requests": json.dumps(REPORT, indent=4)}
    assert done.code == 0
    assert done.out == formats[sample.name] + "\n"


def test_the_token_line_has_the_published_fields(main, api, credentials):
    api.token()
    api.report()
    line = main(SUMMARY).err
    token = ast.literal_eval(line.partition("Token: ")[2])
    assert list(token) == ["token_type", "access_token", "expires_in", "expires_at"]
    assert token["access_token"] == "eyJ0b2tl..."


def test_a_program_that_logs_at_debug_tells_no_secret(sample, api, caplog):
    caplog.set_level(logging.DEBUG)
    api.token()
    api.report()
    sample.query(sample.new(), SUMMARY)
    assert "Token: " in caplog.text
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


def test_a_lesson_stands_alone(sample, tmp_path):
    """Without retries and the command line, it does the same in good weather."""
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    alone, changes = re.subn(r"with_retries\((.*)\)\n", r"\1\n", source)
    alone, more_changes = re.subn(r"run\(main\)", "main()", alone)
    assert (changes, more_changes) == (1, 1)
    script = tmp_path / "alone.py"
    script.write_text(alone, encoding="utf-8")
    with Sandbox() as sandbox:
        environment = {**os.environ, **sandbox.environment(), "PYTHONPATH": str(ROOT)}
        done = run(str(script), env=environment)
    assert done.code == 0, done.err
    assert done.out.count("requestsblocked") == 2
    assert len(sandbox.requests) == 3


def test_the_folder_may_be_moved_into_a_package(sample, tmp_path):
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "common", tmp_path / "mine" / "api", ignore=without_caches)
    source = (ROOT / sample.script).read_text(encoding="utf-8")
    moved = source.replace("from common.", "from mine.api.")
    (tmp_path / "script.py").write_text(moved, encoding="utf-8")
    done = run("-m", "mine.api.sandbox", "script.py", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out.count("requestsblocked") == 2
