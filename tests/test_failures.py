"""What a user reads when something fails: one line with the cause, the server's own words and the remedy."""

from __future__ import annotations

import base64
import errno
import json
import logging
import socket
import ssl
from typing import Any, Dict, Tuple

import pytest
import requests
from helpers import KEY, SECOND, SECRET, SUMMARY, TOKEN, Api, Main, Sample, no_answer

from common import errors
from common.answers import read_report
from common.config import REPORTS_URL, TOKEN_URL
from common.errors import CHECK_URLS, LOG_IN, NOT_FOLLOWED, REMEDIES, SET_REPORTS_URL, TRY_LATER, ApiError
from common.session import RETRIES, ApiSession

TRIES = 1 + RETRIES
BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()

pytestmark = pytest.mark.usefixtures("credentials", "clock")


def message(text: Any) -> dict[str, Any]:
    return {"json": {"message": text}}


def test_the_words_of_a_failure(main: Main, api: Api) -> None:
    api.mock.post(TOKEN_URL, status=401, **message("Invalid authentication credentials"))
    assert main() == (
        1,
        "",
        "Could not get a token from https://api.sse.cisco.com/auth/v2/token: "
        '401 Unauthorized ("Invalid authentication credentials"). '
        "Check API_KEY and API_SECRET. The key may also have expired, or be restricted to other networks.\n",
    )


# Answers that hold no token or no report

# status, rest of the answer, how often it is asked for, what is said of it, the remedy
Case = Tuple[int, Dict[str, Any], int, str, str]
NO_OBJECT = "200 OK, but it is not a JSON object"
NO_NUMBER = "its expires_in is not a number of seconds"

NO_TOKEN: list[Case] = [
    (400, message("grant_type?"), 1, '400 Bad Request ("grant_type?")', CHECK_URLS),
    (401, message("No"), 1, '401 Unauthorized ("No")', REMEDIES["token"][401]),
    (403, message("No"), 1, '403 Forbidden ("No")', REMEDIES["token"][403]),
    (403, {"body": "\n<h1>Blocked</h1>"}, 1, "403 Forbidden (a web page)", CHECK_URLS),
    (404, {"body": "", "content_type": None}, 1, "404 Not Found (no explanation)", CHECK_URLS),
    (405, {"body": "x", "content_type": "Text/HTML"}, 1, "405 Method Not Allowed (a web page)", CHECK_URLS),
    (429, message("Slow"), TRIES, '429 Too Many Requests ("Slow")', REMEDIES["token"][429]),
    (499, {"body": ""}, 1, "499 (no explanation)", CHECK_URLS),
    (500, message("Oh"), TRIES, '500 Internal Server Error ("Oh")', TRY_LATER),
    (599, {"body": "what"}, 1, '599 ("what")', TRY_LATER),
    (511, {"body": "<p>Log in"}, 1, "511 Network Authentication Required (a web page)", LOG_IN),
    (204, {"body": ""}, 1, "204 No Content, but it is not a JSON object", CHECK_URLS),
    (200, {"body": "<body>Log in"}, 1, "200 OK, but it is not a JSON object (a web page)", CHECK_URLS),
    (200, message("Hi"), 1, '200 OK, but there is no access_token in it ("Hi")', CHECK_URLS),
    *[(200, {"body": text}, 1, NO_OBJECT, CHECK_URLS) for text in (b"\xff", "[" * 100_000, f"access_token={TOKEN}")],
    *[(200, {"json": value}, 1, NO_OBJECT, CHECK_URLS) for value in (TOKEN, [TOKEN])],
    *[
        (200, {"json": {"access_token": TOKEN, name: value}}, 1, f"200 OK, but {problem}", CHECK_URLS)
        for problem, name, values in (
            ("there is no access_token in it", "access_token", [None, {"a": 1}]),
            ("its access_token is not a valid header value", "access_token", ["  ", "a\r\nX-Evil: 1", "schlüssel"]),
            ("its token_type is not bearer", "token_type", ["mac", ["bearer"]]),
            (NO_NUMBER, "expires_in", ["soon", [1], float("inf"), float("nan"), 10**400]),
        )
        for value in values
    ],
]
TO_AND_FROM = [{"param": "to", "value": "x", "error": "invalid to"}, {"param": "from", "error": "invalid from"}]
WRONG = '400 Bad Request ("to: invalid to; from: invalid from")'
REJECTED = {"error": "invalid_request"}
ELSEWHERE = {"headers": {"Location": "https://user:hush@evil.example:1/x?y=1"}}
GONE = {"error": "gone", "error_description": "long ago"}
LATER = "Wed, 01 Jan 2200 00:00:00 GMT"
SLOW = "429 Too Many Requests (no explanation), retry after"


def nested(levels: int) -> Any:
    """Return lists and objects in turn, so many levels deep."""
    value: Any = []
    for level in range(1, levels):
        value = {"a": value} if level % 2 else [value]
    return value


NO_REPORT: list[Case] = [
    (400, {"json": {"data": {"errors": TO_AND_FROM}}}, 1, WRONG, REMEDIES["report"][400]),
    (400, {"json": REJECTED}, 2, '400 Bad Request ("invalid_request")', REMEDIES["report"][401]),
    (400, message("invalid_request"), 1, '400 Bad Request ("invalid_request")', REMEDIES["report"][400]),
    (400, {"json": ["error"]}, 1, '400 Bad Request ("["error"]")', REMEDIES["report"][400]),
    (401, {"json": {"data": {"error": "No"}}}, 2, '401 Unauthorized ("No")', REMEDIES["report"][401]),
    (403, {"json": REJECTED}, 1, '403 Forbidden ("invalid_request")', REMEDIES["report"][403]),
    (302, ELSEWHERE, 1, "redirected to https://evil.example:1/x, which is not followed", NOT_FOLLOWED),
    (403, {"body": "<!DOCTYPE html>"}, 1, "403 Forbidden (a web page)", CHECK_URLS),
    (404, {"json": GONE}, 1, '404 Not Found ("gone: long ago")', REMEDIES["report"][404]),
    (429, {"body": "<html>"}, TRIES, "429 Too Many Requests (a web page)", REMEDIES["report"][429]),
    (429, {"headers": {"Retry-After": "31"}}, 1, f"{SLOW} 31 seconds", REMEDIES["report"][429]),
    (429, {"headers": {"Retry-After": LATER}}, 1, f"{SLOW} {LATER}", REMEDIES["report"][429]),
    (502, {"body": "<html></html>"}, TRIES, "502 Bad Gateway (a web page)", TRY_LATER),
    (503, {"json": {}}, TRIES, "503 Service Unavailable (no explanation)", TRY_LATER),
    (504, {"body": "upstream"}, TRIES, '504 Gateway Timeout ("upstream")', TRY_LATER),
    (300, {"body": "many"}, 1, "300 Multiple Choices (no explanation)", CHECK_URLS),
    (200, {"json": REJECTED}, 1, '200 OK, but there is no data in it ("invalid_request")', CHECK_URLS),
    (200, {"json": {"data": nested(101)}}, 1, "200 OK, but it is nested too deeply", CHECK_URLS),
    (200, message("Try later"), 1, '200 OK, but there is no data in it ("Try later")', CHECK_URLS),
    (200, {"json": {"data": 1}}, 1, "200 OK, but there is no data in it", CHECK_URLS),
    (200, {"json": {"data": {"redirect": f"//[{TOKEN}"}}}, 1, "200 OK, but the data is at //[...", SET_REPORTS_URL),
]


@pytest.mark.parametrize("case", NO_TOKEN)
def test_no_token(main: Main, api: Api, case: Case) -> None:
    status, answer, tries, words, remedy = case
    api.mock.post(TOKEN_URL, status=status, **answer)
    done = main("first", "second")
    assert done.out == ""
    assert done.failure == f"Could not get a token from {TOKEN_URL}: {words}. {remedy}"
    assert api.wire == ["POST"] * tries


@pytest.mark.parametrize("case", NO_REPORT)
def test_no_report(main: Main, api: Api, case: Case) -> None:
    status, answer, tries, words, remedy = case
    api.token(TOKEN)
    api.report("first")
    api.report("second", status=status, **answer)
    done = main("first", "second", "third")
    assert done.reports == 1
    assert done.failure == f"Could not get a report from {REPORTS_URL}/second: {words}. {remedy}"
    assert [token for token in api.wire if token != "POST"] == [TOKEN] * (1 + tries)


@pytest.mark.parametrize("data", [[], {}, {"redirect": "x", "more": 1}, nested(100)])
def test_what_is_a_report(main: Main, api: Api, data: Any) -> None:
    api.token(TOKEN)
    api.report(json={"data": data})
    done = main(SUMMARY)
    assert (done.code, "data" in done.out) == (0, True)


def test_a_secret_within_another_one() -> None:
    errors.sent_secrets.update(["hush", "a-hush-b"])
    assert errors.one_line("hush a-hush-b") == "... ..."


# Other failures


NOT_YET = "certificate is not yet valid"


@pytest.mark.parametrize(
    ("error", "system", "tries", "words"),
    [
        (requests.ConnectTimeout(), "", TRIES, "no connection in time"),
        (OSError(errno.ENETUNREACH, "Unreachable"), "Unreachable", TRIES, "no connection"),
        (ssl.SSLError(1, NOT_YET), NOT_YET, 1, "the certificate has expired or is not valid yet"),
        (ssl.SSLError(1, "UNSUPPORTED_PROTOCOL"), "UNSUPPORTED_PROTOCOL", 1, "no TLS version in common"),
        (ssl.SSLError(1, "RECORD_LAYER_FAILURE"), "RECORD_LAYER_FAILURE", 1, "the port does not use TLS"),
        (ssl.SSLError(1, "HANDSHAKE_FAILURE"), "HANDSHAKE_FAILURE", 1, "no TLS connection"),
        (ValueError("hostname doesn't match"), "", 1, "the certificate is for another host"),
        (RuntimeError("of any library"), "", 1, "malformed address or answer"),
        (PermissionError(errno.EACCES, "Denied"), "Denied", 1, "blocked by the operating system"),
        (socket.gaierror(socket.EAI_AGAIN, "Busy"), "Busy", TRIES, "the host name could not be looked up"),
    ],
)
def test_no_answer(main: Main, api: Api, error: Exception, system: str, tries: int, words: str) -> None:
    api.mock.post(TOKEN_URL, body=error)
    assert main().failure == no_answer("token", TOKEN_URL, words, system)
    assert len(api.requests) == tries


def test_the_remedy_of_each_cause() -> None:
    causes: dict[str, set[str]] = {}
    for _, _, cause in errors.CAUSES:
        causes.setdefault(cause.remedy, set()).add(cause.words)
    assert causes == {
        errors.CHECK_ACCESS: {"blocked by the operating system"},
        errors.SET_PROXY_URL: {"invalid proxy URL"},
        errors.CHECK_PROXY: {"no connection to the proxy"},
        errors.CHECK_PROXY_LOGIN: {"the proxy asks for a user name and password"},
        errors.ASK_PROXY_ADMINS: {"the proxy cannot reach the host", "the proxy refuses the connection"},
        errors.CHECK_PORT: {"the port does not use TLS"},
        errors.UPDATE_PYTHON: {"no TLS version in common"},
        errors.CHECK_CLOCK: {"the certificate has expired or is not valid yet"},
        errors.SET_CA_BUNDLE: {"the certificate is not trusted"},
        errors.CHECK_CA_FILE: {"the CA certificates cannot be read"},
        errors.CHECK_NETWORK: {
            "no connection",
            "no connection in time",
            "unknown host name",
            "the host name could not be looked up",
        },
        errors.ASK_FOR_LESS: {"the connection was closed too early", "no answer in time", "the answer is too large"},
        CHECK_URLS: {
            "malformed address or answer",
            "no TLS connection",
            "the certificate is for another host",
            "too many redirects",
        },
    }


# What a server says


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"message": "a\nb\r\n\tc  d"}, '"a b c d"'),
        ({"message": "\x1b[31mred\x07\x9b0m\x7f"}, '"[31mred 0m"'),
        ({"message": "left\u202eright\u2028next"}, '"left right next"'),
        ({"message": "x" * 201}, '"' + "x" * 200 + '..."'),
        ({"message": "x" * 200}, '"' + "x" * 200 + '"'),
        ({"message": "left" + " " * 700 + "right"}, '"left right"'),
        ({"message": "\n" * 2000 + "late"}, "no explanation"),
        ({"message": " "}, "no explanation"),
        ({"message": 1, "error": {"b": 1}, "data": {"error": 5, "errors": [7, {"error": None}, {}]}}, "no explanation"),
        ({"data": {"data": {"data": {"error": "deep"}}}}, '"deep"'),
        ({"data": {"data": {"data": {"data": {"error": "too deep"}}}}}, "no explanation"),
        ({"errors": [[[["too deep"]]]]}, "no explanation"),
        ({"errors": ["1", "2", "3", "4", "5", "too many"]}, '"1; 2; 3; 4; 5"'),
    ],
)
def test_what_a_server_says_is_fit_for_the_terminal(main: Main, api: Api, body: Any, shown: str) -> None:
    api.mock.post(TOKEN_URL, status=404, json=body)
    assert f": 404 Not Found ({shown}). " in main("first").failure


def echo(request: Any) -> tuple[int, dict[str, str], str]:
    """Repeat whatever should not be shown, wherever an answer has room for it."""
    told = f"{SECRET} {BASIC} {TOKEN} {SECOND} {request.headers['Authorization']}"
    return 403, {"Retry-After": told}, json.dumps({"message": f"{told} is forbidden"})


@pytest.mark.parametrize("at", ["token", "report"])
def test_no_message_contains_a_secret(sample: Sample, api: Api, caplog: pytest.LogCaptureFixture, at: str) -> None:
    for name in ("common", sample.module.__name__):
        caplog.set_level(logging.DEBUG, logger=name)
    secrets = [SECRET, BASIC]
    if at == "token":
        api.mock.add_callback("POST", TOKEN_URL, echo)
    else:
        secrets += [TOKEN, SECOND]
        api.token(TOKEN, SECOND)
        api.report(status=401)
        api.report(status=302, headers={"Location": f"/{SECOND}/{SECRET}/{BASIC}"})
        api.mock.add_callback("GET", f"https://api.sse.cisco.com/{SECOND}/{SECRET}/{BASIC}", echo)
    client = sample.new()
    with pytest.raises(ApiError, match="is forbidden") as error:
        sample.query(client, SUMMARY)
    told = caplog.text + str(error.value) + repr(error.value) + repr(client)
    if at == "report":
        assert "Redirected to https://api.sse.cisco.com/.../.../..." in told
    for secret in secrets:
        assert secret not in told


def test_a_password_in_a_url_is_a_secret(api: Api) -> None:
    api.mock.get("https://user:hush@gateway.example/", status=404)
    with pytest.raises(ApiError, match=r"from https://user:\.\.\.@gateway.example/: 404 Not Found"):
        read_report(ApiSession().get("https://user:hush@gateway.example/"))


def test_any_authorization_is_a_secret(api: Api) -> None:
    api.report(status=404, **message("hush is unknown"))
    with pytest.raises(ApiError, match=r'\("\.\.\. is unknown"\)'):
        read_report(ApiSession().get(f"{REPORTS_URL}/{SUMMARY}", headers={"Authorization": "Digest hush"}))


@pytest.mark.parametrize(("secret", "told"), [("", "Not s:t:r"), ("s:t", "Not s:t:r"), ("s:t:r", "Not ...")])
def test_nothing_but_the_secret_is_left_out(sample: Sample, api: Api, secret: str, told: str) -> None:
    api.mock.post(TOKEN_URL, status=401, **message("Not s:t:r"))
    with pytest.raises(ApiError) as error:
        sample.query(sample.client(TOKEN_URL, KEY, secret), SUMMARY)
    assert f'401 Unauthorized ("{told}"). ' in str(error.value)
