"""What a user reads when something fails: one line with the cause and a remedy."""

import base64
import io

import pytest
import requests
from helpers import KEY, REPORT, REQUESTS, SAMPLES, SECRET, TOKEN

from common.config import REPORTS_URL, TOKEN_URL
from common.errors import CHECK_URLS, REPORT_REMEDIES, TOKEN_REMEDIES, explain

pytestmark = pytest.mark.usefixtures("credentials")
both_samples = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
TRY_LATER = "The service has a problem: try again later."
NO_TOKEN = f"Could not get a token from {TOKEN_URL}: "


@pytest.fixture
def sample():
    """Take one of the scripts: the line is the same with either."""
    return REQUESTS


def request_for(url):
    return requests.Request("GET", url).prepare()


def http_error(status=500, body=b"", reason="Reason"):
    """Return the error for a response to a request for a report."""
    response = requests.Response()
    response.status_code = status
    response.reason = reason
    response.raw = io.BytesIO(body)
    response.request = request_for(REPORTS_URL)
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("status", "body", "words", "remedy"),
    [
        (401, '{"a": "b"}', '401 Unauthorized ({"a": "b"})', TOKEN_REMEDIES[401]),
        (403, "No", "403 Forbidden (No)", TOKEN_REMEDIES[403]),
        (403, "\n<h1>No</h1>", "403 Forbidden (a web page)", CHECK_URLS),
        (404, "", "404 Not Found (no explanation)", CHECK_URLS),
        (429, "Slow", "429 Too Many Requests (Slow)", TOKEN_REMEDIES[429]),
        (500, "Oh", "500 Internal Server Error (Oh)", TRY_LATER),
    ],
)
def test_a_token_is_refused(main, api, status, body, words, remedy):
    api.token_response(status=status, body=body)
    done = main()
    assert done.code == 1
    assert done.failure == f"{NO_TOKEN}{words}. {remedy}"


@pytest.mark.parametrize(
    ("status", "body", "words", "remedy"),
    [
        (400, "Odd", "400 Bad Request (Odd)", REPORT_REMEDIES[400]),
        (401, "Old", "401 Unauthorized (Old)", REPORT_REMEDIES[401]),
        (403, "No", "403 Forbidden (No)", REPORT_REMEDIES[403]),
        (404, "No", "404 Not Found (No)", REPORT_REMEDIES[404]),
        (429, "Slow", "429 Too Many Requests (Slow)", REPORT_REMEDIES[429]),
        (503, "Oh", "503 Service Unavailable (Oh)", TRY_LATER),
    ],
)
def test_a_report_is_refused(main, api, status, body, words, remedy):
    url = f"{REPORTS_URL}/report"
    api.token()
    api.report(url, status=status, body=body)
    done = main("report")
    assert done.code == 1
    assert done.failure == f"Could not get a report from {url}: {words}. {remedy}"


def test_a_new_token_is_called_invalid_too(main, api):
    api.token()
    api.report(status=400, json={"error": "invalid_request"})
    assert main().failure.endswith(f". {REPORT_REMEDIES[401]}")


def test_the_remedies_of_a_report_name_values_and_scopes():
    assert '"from" and "to" are -7days, now, or milli' in explain(http_error(400))
    assert "Reports > Granular Events for activity" in explain(http_error(403))


@both_samples
def test_nothing_that_was_fetched_before_is_lost(main, api):
    api.token()
    api.report(f"{REPORTS_URL}/first")
    api.report(f"{REPORTS_URL}/second", status=404)
    done = main("first", "second", "third")
    assert done.code == 1
    assert done.out.count("requests") == 1
    assert api.urls == [f"{REPORTS_URL}/first", f"{REPORTS_URL}/second"]


def test_a_success_without_a_report_is_a_failure(main, api):
    api.token()
    for status in (202, 206, 300, 302):
        api.report(f"{REPORTS_URL}/{status}", status=status, json=REPORT)
        done = main(str(status))
        assert done.code == 1
        assert f": {status} " in done.failure
        assert done.failure.endswith(f" (unexpected status). {CHECK_URLS}")


def test_json_that_is_no_object_is_no_report(main, api):
    api.token()
    api.report(json=[REPORT])
    assert main().failure.endswith(f": 200 OK (not a JSON object). {CHECK_URLS}")


def test_a_web_page_is_no_report(main, api):
    api.token()
    api.report(body="\n<!DOCTYPE html>")
    assert main().failure.endswith(f": 200 OK (a web page). {CHECK_URLS}")


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


@both_samples
def test_a_token_that_cannot_be_used(main, api):
    for field, value, problem in UNUSABLE_TOKENS:
        api.token(**{field: value})
        assert main().failure == f"{NO_TOKEN}200 OK ({problem}). {CHECK_URLS}"


@both_samples
def test_no_line_holds_the_secret(main, api):
    basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    api.token_response(status=403, body=f"Basic {basic} of {SECRET} is wrong")
    done = main()
    assert "(Basic ... of ... is wrong)" in done.failure
    assert SECRET not in done.err
    assert basic not in done.err


@both_samples
def test_no_line_holds_the_token(main, api):
    api.token()
    api.report(status=403, body=f"Bearer {TOKEN} is wrong")
    done = main()
    assert "(Bearer ... is wrong)" in done.failure
    assert TOKEN not in done.err


def test_a_key_and_a_secret_that_are_swapped_are_both_hidden(main, api, monkeypatch):
    monkeypatch.setenv("API_KEY", SECRET)
    monkeypatch.setenv("API_SECRET", KEY)
    api.token_response(status=401, body=f"no client {SECRET} with {KEY}")
    assert "(no client ... with ...)" in main().failure


def test_a_short_secret_is_not_searched_for(main, api, monkeypatch):
    monkeypatch.setenv("API_SECRET", "token")
    api.token_response(status=401, body="no token")
    assert main().failure.startswith(f"{NO_TOKEN}401 Unauthorized (no token)")


def test_a_long_reason_does_not_hide_the_remedy():
    line = explain(http_error(404, reason="x" * 5000))
    assert len(line) < 1000
    assert line.endswith(REPORT_REMEDIES[404])


def test_what_a_server_sends_cannot_steer_the_terminal():
    body = "one\r\ntwo\x1b[31m\u202ethree\x00".encode() + b"\xff"
    line = explain(http_error(body=body, reason="So\x1bSo"))
    assert "500 So So (one two [31m three \ufffd)." in line


def test_a_password_in_a_url_is_not_shown():
    request = request_for("https://user:hush@host/reports")
    problem = "no way to http://other:hush@proxy:3128/"
    line = explain(requests.ConnectionError(problem, request=request))
    assert "from https://host/reports: " in line
    assert "(no way to http://proxy:3128/)" in line
    assert "hush" not in line


def test_the_variable_that_names_the_certificates_is_named(monkeypatch):
    error = requests.exceptions.SSLError("untrusted")
    assert "in REQUESTS_CA_BUNDLE and" in explain(error)
    monkeypatch.setenv("CURL_CA_BUNDLE", "bundle.pem")
    assert "in CURL_CA_BUNDLE and" in explain(error)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "bundle.pem")
    assert "in REQUESTS_CA_BUNDLE and" in explain(error)


def test_neither_request_nor_response_is_needed():
    line = explain(requests.TooManyRedirects("too many"))
    assert line.startswith("Could not get a token or a report: TooManyRedirects (too")


def test_an_exception_without_words_shows_its_class():
    kinds = vars(requests.exceptions).copy()
    # It needs arguments.
    del kinds["JSONDecodeError"]
    for name, kind in kinds.items():
        if isinstance(kind, type) and issubclass(kind, requests.RequestException):
            assert f": {name} ({name}). " in explain(kind())
