"""What a user reads when something fails: one line with the cause and a remedy."""

import base64

import requests
from helpers import SECRET, TOKEN

from common.config import REPORTS_URL, TOKEN_URL
from common.errors import explain

NO_TOKEN = f"Could not get a token from {TOKEN_URL}: "
CHECK_URLS = "Check TOKEN_URL, REPORTS_URL, and any proxy or login page on the way."
TRY_LATER = "The service has a problem: try again later."

# Status and body of a response, the words that are shown, and the start of the remedy.
REFUSED_TOKENS = [
    (401, '{"a": "b"}', '401 Unauthorized ({"a": "b"})', "Check API_KEY and API_SEC"),
    (403, "No", "403 Forbidden (No)", "The API key may have expired, or be restricted"),
    (403, "\n<h1>No</h1>", "403 Forbidden (a web page)", CHECK_URLS),
    (404, "", "404 Not Found (no explanation)", CHECK_URLS),
    (429, "Slow", "429 Too Many Requests (Slow)", "An API key is allowed 20 token req"),
    (500, "<h1>", "500 Internal Server Error (a web page)", TRY_LATER),
]
# As of a token that has expired.
INVALID = '{"error": "invalid_request"}'
REFUSED_REPORTS = [
    (
        400,
        "Odd",
        "400 Bad Request (Odd)",
        'Check the parameters: "from" and "to" are -',
    ),
    (400, INVALID, f"400 Bad Request ({INVALID})", "A new token was rejected too"),
    (401, "Old", "401 Unauthorized (Old)", "A new token was rejected too"),
    (403, "No", "403 Forbidden (No)", "The API key lacks the scope of this report, or"),
    (404, "No", "404 Not Found (No)", "Check the spelling of the end point"),
    (429, "Slow", "429 Too Many Requests (Slow)", "An organization is allowed about 5"),
    (431, "No", "431 Request Header Fields Too Large (No)", "Shorten the end point"),
    (503, "Oh", "503 Service Unavailable (Oh)", TRY_LATER),
]


def test_a_token_is_refused(main, api_without_token):
    for status, body, words, remedy in REFUSED_TOKENS:
        api_without_token.token_response(status=status, body=body)
        assert main().failure.startswith(f"{NO_TOKEN}{words}. {remedy}")


def test_a_report_is_refused(main, api):
    url = f"{REPORTS_URL}/report"
    for status, body, words, remedy in REFUSED_REPORTS:
        api.report(url, status=status, body=body)
        line = f"Could not get a report from {url}: {words}. {remedy}"
        assert main("report").failure.startswith(line)


PARTIAL = '{"meta": {"failed": ["dns"]}, "data": []}'
TRY_AGAIN = "Try again, or request one kind alone, such as activity/dns."
NO_REPORTS = [
    (202, "{}", f"202 Accepted (unexpected status). {CHECK_URLS}"),
    (300, "{}", f"300 Multiple Choices (unexpected status). {CHECK_URLS}"),
    (200, "[]", f"200 OK (not a JSON object). {CHECK_URLS}"),
    (200, "\n<html>", f"200 OK (a web page). {CHECK_URLS}"),
    (200, PARTIAL, f"200 OK (a partial report, without ['dns']). {TRY_AGAIN}"),
    (
        207,
        PARTIAL,
        f"207 Multi-Status (a partial report, without ['dns']). {TRY_AGAIN}",
    ),
    (
        207,
        "{}",
        f"207 Multi-Status (a partial report, without some kinds). {TRY_AGAIN}",
    ),
]


def test_a_success_without_a_whole_report_is_a_failure(main, api):
    for status, body, words in NO_REPORTS:
        api.report(status=status, body=body)
        done = main()
        assert done.out == ""
        assert done.failure.endswith(f": {words}")


UNUSABLE_TOKENS = [
    ("access_token", [TOKEN], "no usable access_token"),
    ("access_token", TOKEN + "\r\nX: 1", "no usable access_token"),
    ("access_token", "schlüssel", "no usable access_token"),
    ("expires_in", "soon", "no usable expires_in"),
    ("expires_in", 0, "no usable expires_in"),
    ("expires_in", None, "no usable expires_in"),
]


def test_a_token_that_cannot_be_used(main, api_without_token):
    for field, value, problem in UNUSABLE_TOKENS:
        api_without_token.token(**{field: value})
        assert main().failure == f"{NO_TOKEN}200 OK ({problem}). {CHECK_URLS}"


def test_no_line_holds_the_key_or_the_secret(main, api_without_token, monkeypatch):
    # The key is the beginning of the secret.
    key = SECRET[:8]
    monkeypatch.setenv("API_KEY", key)
    basic = base64.b64encode(f"{key}:{SECRET}".encode()).decode()
    body = f"Basic {basic} of {key} with {SECRET} is wrong"
    api_without_token.token_response(status=403, body=body)
    assert "(Basic ... of ... with ... is wrong)" in main().failure


def test_no_line_holds_the_token(main, api_without_token):
    token = "eyJ0" * 175
    url = f"{REPORTS_URL}/{token}"
    api_without_token.token(token)
    api_without_token.report(url, status=403, body=f"Bearer {token} is wrong")
    failure = main(token).failure
    assert f"from {REPORTS_URL}/...: " in failure
    assert "(Bearer ... is wrong)" in failure


def test_a_short_secret_is_not_searched_for(main, api_without_token, monkeypatch):
    monkeypatch.setenv("API_SECRET", "token")
    api_without_token.token_response(status=401, body="no token")
    assert "(no token)" in main().failure


def test_what_a_server_sends_is_made_fit_for_a_terminal(main, api):
    body = "one\r\ntwo\x1b[31m\u202ethree\x00".encode() + b"\xff" + b"x" * 5000
    api.report(status=404, body=body)
    line = main().failure
    assert "(one two [31m three \ufffdxx" in line
    assert len(line) < 1000
    assert ". Check the spelling of the end point" in line


def test_a_password_in_a_url_is_not_shown():
    request = requests.Request("GET", "https://user:hush@host/reports").prepare()
    problem = "no way to http://other:hush@proxy:3128/"
    line = explain(requests.ConnectionError(problem, request=request))
    assert "from https://host/reports: " in line
    assert "(no way to http://proxy:3128/)" in line
    assert "hush" not in line
