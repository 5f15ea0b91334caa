"""What a user reads when something fails: one line with the cause and a remedy."""

import base64
import io

import pytest
import requests
from helpers import KEY, REPORT, SECRET, TOKEN

from common.config import REPORTS_URL, TOKEN_URL
from common.errors import CHECK_URLS, REPORT_REMEDIES, TOKEN_REMEDIES, explain

pytestmark = pytest.mark.usefixtures("credentials")
TRY_LATER = "The service has a problem: try again later."
NO_TOKEN = f"Could not get a token from {TOKEN_URL}: "


REFUSED_TOKENS = [
    (401, '{"a": "b"}', '401 Unauthorized ({"a": "b"})', TOKEN_REMEDIES[401]),
    (403, "No", "403 Forbidden (No)", TOKEN_REMEDIES[403]),
    (403, "\n<h1>No</h1>", "403 Forbidden (a web page)", CHECK_URLS),
    (404, "", "404 Not Found (no explanation)", CHECK_URLS),
    (429, "Slow", "429 Too Many Requests (Slow)", TOKEN_REMEDIES[429]),
    (500, "Oh", "500 Internal Server Error (Oh)", TRY_LATER),
]
# As of a token that has expired.
INVALID = '{"error": "invalid_request"}'
REFUSED_REPORTS = [
    (400, "Odd", "400 Bad Request (Odd)", REPORT_REMEDIES[400]),
    (400, INVALID, f"400 Bad Request ({INVALID})", REPORT_REMEDIES[401]),
    (401, "Old", "401 Unauthorized (Old)", REPORT_REMEDIES[401]),
    (403, "No", "403 Forbidden (No)", REPORT_REMEDIES[403]),
    (404, "No", "404 Not Found (No)", REPORT_REMEDIES[404]),
    (429, "Slow", "429 Too Many Requests (Slow)", REPORT_REMEDIES[429]),
    (503, "Oh", "503 Service Unavailable (Oh)", TRY_LATER),
]


def test_a_token_is_refused(main, api_without_token):
    for status, body, words, remedy in REFUSED_TOKENS:
        api_without_token.token_response(status=status, body=body)
        done = main()
        assert done.failure == f"{NO_TOKEN}{words}. {remedy}"


def test_a_report_is_refused(main, api):
    url = f"{REPORTS_URL}/report"
    for status, body, words, remedy in REFUSED_REPORTS:
        api.report(url, status=status, body=body)
        done = main("report")
        assert done.failure == f"Could not get a report from {url}: {words}. {remedy}"


def test_the_remedies_of_a_report_name_values_and_scopes():
    assert '"from" and "to" are -7days, now, or milli' in REPORT_REMEDIES[400]
    assert "Reports > Granular Events for activity" in REPORT_REMEDIES[403]


def test_nothing_that_was_fetched_before_is_lost(main, api):
    api.report(f"{REPORTS_URL}/first")
    api.report(f"{REPORTS_URL}/second", status=404)
    assert main("first", "second", "third").out.count("requests") == 1
    assert api.urls == [f"{REPORTS_URL}/first", f"{REPORTS_URL}/second"]


def test_a_success_without_a_report_is_a_failure(main, api):
    for status in (202, 206, 300, 302):
        api.report(status=status, json=REPORT)
        done = main()
        assert f": {status} " in done.failure
        assert done.failure.endswith(f" (unexpected status). {CHECK_URLS}")


def test_what_is_no_json_object_is_no_report(main, api):
    for body, problem in (("[]", "not a JSON object"), ("\n<html>", "a web page")):
        api.report(body=body)
        assert main().failure.endswith(f": 200 OK ({problem}). {CHECK_URLS}")


UNUSABLE_TOKENS = [
    ("access_token", [TOKEN], "no usable access_token"),
    ("access_token", TOKEN + "\r\nX: 1", "no usable access_token"),
    ("access_token", "schlüssel", "no usable access_token"),
    ("expires_in", "soon", "no usable expires_in"),
    ("expires_in", 0, "no usable expires_in"),
    ("expires_in", None, "no usable expires_in"),
    ("token_type", "mac", "token_type is not bearer"),
    ("token_type", None, "token_type is not bearer"),
]


def test_a_token_that_cannot_be_used(main, api_without_token):
    for field, value, problem in UNUSABLE_TOKENS:
        api_without_token.token(**{field: value})
        assert main().failure == f"{NO_TOKEN}200 OK ({problem}). {CHECK_URLS}"


def test_no_line_holds_the_key_or_the_secret(main, api_without_token):
    basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    body = f"Basic {basic} of {KEY} with {SECRET} is wrong"
    api_without_token.token_response(status=403, body=body)
    assert "(Basic ... of ... with ... is wrong)" in main().failure


def test_no_line_holds_the_token(main, api):
    api.report(status=403, body=f"Bearer {TOKEN} is wrong")
    assert "(Bearer ... is wrong)" in main().failure


def test_a_short_secret_is_not_searched_for(main, api_without_token, monkeypatch):
    monkeypatch.setenv("API_SECRET", "token")
    api_without_token.token_response(status=401, body="no token")
    assert "(no token)" in main().failure


def test_what_a_server_sends_is_made_fit_for_a_terminal():
    response = requests.Response()
    response.status_code = 404
    response.reason = "So\x1bSo"
    body = "one\r\ntwo\x1b[31m\u202ethree\x00".encode() + b"\xff" + b"x" * 5000
    response.raw = io.BytesIO(body)
    response.request = requests.Request("GET", REPORTS_URL).prepare()
    line = explain(requests.HTTPError(response=response))
    assert "404 So So (one two [31m three \ufffdxx" in line
    assert len(line) < 1000
    assert line.endswith(REPORT_REMEDIES[404])


def test_a_password_in_a_url_is_not_shown():
    request = requests.Request("GET", "https://user:hush@host/reports").prepare()
    problem = "no way to http://other:hush@proxy:3128/"
    line = explain(requests.ConnectionError(problem, request=request))
    assert "from https://host/reports: " in line
    assert "(no way to http://proxy:3128/)" in line
    assert "hush" not in line


def test_an_exception_without_words_shows_its_class():
    line = explain(requests.TooManyRedirects())
    assert line.startswith("Could not get a token or a report: TooManyRedirects (TooM")
