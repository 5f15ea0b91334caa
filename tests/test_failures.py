"""What a user reads when the API says no: one line, the server's own words, the remedy; and what goes on."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import pytest
from helpers import REPORT, Api, Sample

from common import cli
from common.answers import ApiError
from common.config import REPORTS_URL, TOKEN_URL
from common.session import RETRIES

TRIES = 1 + RETRIES
TOKEN = "eyJ0b2tlbiI6IjEifQ.abcdefghijklmnopqrstuvwxyz"

KEY_REMEDY = "Check API_KEY and API_SECRET; the key may also have expired, or be restricted to other networks."
NETWORKS = "The API key may have expired, or be restricted to other networks: see its settings in Secure Access."
TOKEN_LIMIT = "An API key may ask for 20 tokens a minute: wait, then try again."
PARAMETER = "Check the parameters of the end point."
SCOPE = "The API key lacks the scope for this report, or has expired: see its settings in Secure Access."
SPELLING = "Check the spelling of the end point, and REPORTS_URL."
REPORT_LIMIT = "An organization may ask for about 5 reports a second: wait, then try again."
SERVICE = "The service has a problem: try again later."
URLS = "Check TOKEN_URL, REPORTS_URL and any proxy on the way."

# status, rest of the answer, how often it is asked for, what is said of it
Case = Tuple[int, Dict[str, Any], int, str]

pytestmark = pytest.mark.usefixtures("credentials")


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if not line.startswith("Token: ")]


@pytest.mark.parametrize(
    "case",
    [
        (400, {"json": {"message": "grant_type?"}}, 1, f'400 Bad Request, "grant_type?". {URLS}'),
        (401, {"json": {"message": "Invalid"}}, 1, f'401 Unauthorized, "Invalid". {KEY_REMEDY}'),
        (403, {"json": {"message": "No"}}, 1, f'403 Forbidden, "No". {NETWORKS}'),
        (404, {"body": ""}, 1, f"404 Not Found, without a word. {URLS}"),
        (405, {"body": "<HTML>"}, 1, f'405 Method Not Allowed, "an HTML page". {URLS}'),
        (429, {"json": {"message": "Slow"}}, TRIES, f'429 Too Many Requests, "Slow". {TOKEN_LIMIT}'),
        (499, {"body": ""}, 1, f"499, without a word. {URLS}"),
        (500, {"json": {"message": "Oh"}}, TRIES, f'500 Internal Server Error, "Oh". {SERVICE}'),
        (501, {"body": "what"}, 1, f'501 Not Implemented, "what". {SERVICE}'),
        (503, {"body": "<html>down</html>"}, TRIES, f'503 Service Unavailable, "an HTML page". {SERVICE}'),
        (204, {"body": ""}, 1, f"204 No Content, but no JSON, without a word. {URLS}"),
        (304, {"body": ""}, 1, f"304 Not Modified, without a word. {URLS}"),
        (999, {"body": ""}, 1, f"999, without a word. {SERVICE}"),
    ],
)
def test_no_token(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], case: Case) -> None:
    status, answer, requests, words = case
    api.mock.post(TOKEN_URL, status=status, **answer)
    assert sample.main("first", "second") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert lines(err) == [f"No token from https://api.sse.cisco.com/auth/v2/token: {words}"]
    assert api.wire == ["POST"] * requests


@pytest.mark.parametrize(
    "case",
    [
        (
            400,
            {"json": {"meta": {}, "data": {"errors": [{"param": "to", "value": "x", "error": "invalid to: x"}]}}},
            1,
            f'400 Bad Request, "to: invalid to: x". {PARAMETER}',
        ),
        (403, {"json": {"message": "Access denied"}}, 1, f'403 Forbidden, "Access denied". {SCOPE}'),
        (
            404,
            {"json": {"error": "gone", "error_description": "long ago"}},
            1,
            f'404 Not Found, "gone: long ago". {SPELLING}',
        ),
        (500, {"json": {"meta": {}, "data": {"error": "Oh"}}}, TRIES, f'500 Internal Server Error, "Oh". {SERVICE}'),
        (502, {"body": "<html></html>"}, TRIES, f'502 Bad Gateway, "an HTML page". {SERVICE}'),
        (503, {"json": {}}, TRIES, f"503 Service Unavailable, without a word. {SERVICE}"),
        (504, {"body": "upstream"}, TRIES, f'504 Gateway Timeout, "upstream". {SERVICE}'),
        (409, {"json": [1]}, 1, f'409 Conflict, "[1]". {URLS}'),
        (204, {"body": ""}, 1, f"204 No Content, but no JSON, without a word. {URLS}"),
        (200, {"body": ""}, 1, f"200 OK, but no JSON, without a word. {URLS}"),
        (200, {"body": "<html>Log in"}, 1, f'200 OK, but no JSON, "an HTML page". {URLS}'),
        (200, {"body": '{"meta": {}, "da'}, 1, f"200 OK, but no JSON, without a word. {URLS}"),
        (200, {"body": b"\xff\xff"}, 1, f"200 OK, but no JSON, without a word. {URLS}"),
        (200, {"body": "[" * 100_000}, 1, f"200 OK, but no JSON, without a word. {URLS}"),
        (300, {"body": "many"}, 1, f"300 Multiple Choices, without a word. {URLS}"),
    ],
)
def test_no_report_but_the_others(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], case: Case) -> None:
    status, answer, requests, words = case
    api.token(TOKEN)
    api.report("first")
    api.report("second", status=status, **answer)
    api.report("third")
    assert sample.main("first", "second", "third") == 1
    out, err = capsys.readouterr()
    assert out.count("requests") == 2
    assert lines(err) == [f"No report from https://api.sse.cisco.com/reports/v2/second: {words}"]
    assert api.wire == ["POST"] + [TOKEN] * (2 + requests)


@pytest.mark.parametrize(
    ("headers", "requests", "words"),
    [
        ({}, TRIES, ""),
        ({"Retry-After": "3600"}, 1, ", come back after 3600 seconds"),
        ({"Retry-After": "Wed, 01 Jan 2200 00:00:00 GMT"}, 1, ", come back after Wed, 01 Jan 2200 00:00:00 GMT"),
    ],
)
def test_a_rate_limit_that_outlasts_the_retries_ends_the_run(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], headers: dict[str, str], requests: int, words: str
) -> None:
    api.token(TOKEN)
    api.report("first")
    api.report("second", status=429, headers=headers)
    assert sample.main("first", "second", "third") == 1
    out, err = capsys.readouterr()
    assert out.count("requests") == 1
    assert lines(err) == [
        "No report from https://api.sse.cisco.com/reports/v2/second: "
        f"429 Too Many Requests, without a word{words}. {REPORT_LIMIT}"
    ]
    assert api.wire == ["POST"] + [TOKEN] * (1 + requests)


def test_a_token_that_is_rejected_fresh_ends_the_run(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    api.token(TOKEN)
    api.report("first", status=401, json={"meta": {}, "data": {"error": "unauthorized"}})
    assert sample.main("first", "second") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(lines(err)) == 1
    assert api.wire == ["POST", TOKEN, "POST", TOKEN]


def test_a_token_that_cannot_be_refreshed_ends_the_run(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    api.token(TOKEN)
    api.mock.post(TOKEN_URL, status=401, json={"message": "expired"})
    api.report("first")
    api.report("second", status=401)
    assert sample.main("first", "second", "third") == 1
    out, err = capsys.readouterr()
    assert out.count("requests") == 1
    assert lines(err) == [f'No token from {TOKEN_URL}: 401 Unauthorized, "expired". {KEY_REMEDY}']
    assert api.wire == ["POST", TOKEN, TOKEN, "POST"]


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\n\tc  d", "a b c d"),
        ("\x1b[31mred\x07\x9b0m\x7f", "[31mred 0m"),
        ("left\u202eright\u2028next", "left right next"),
        ("x" * 201, "x" * 200 + "..."),
        ("x" * 200, "x" * 200),
        ("left" + " " * 700 + "right", "left right"),
    ],
)
def test_what_a_server_says_is_fit_for_the_terminal(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], method: str, text: str, shown: str
) -> None:
    api.token(*[TOKEN] * (method == "GET"))
    if method == "POST":
        api.mock.post(TOKEN_URL, status=404, json={"message": text})
    api.report("first", status=404, json={"message": text})
    assert sample.main("first") == 1
    (line,) = lines(capsys.readouterr().err)
    assert f'404 Not Found, "{shown}". ' in line


@pytest.mark.parametrize(
    "body",
    [
        {"message": ["a"], "error": {"b": 1}, "data": {"error": 5, "errors": [7, {"error": None}, {}]}},
        {"message": None, "data": []},
        {"data": {"errors": {"error": "x"}}},
        {"message": " "},
        {"message": "\n" * 2000 + "late"},
    ],
)
def test_words_of_another_shape_are_none(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], body: Any
) -> None:
    api.token(TOKEN)
    api.report("first", status=404, json=body)
    assert sample.main("first") == 1
    (line,) = lines(capsys.readouterr().err)
    assert "404 Not Found, without a word. " in line


def test_several_bad_parameters(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    errors = [{"param": "to", "error": "invalid to"}, {"param": "from", "error": "invalid from"}]
    api.token(TOKEN)
    api.report("first", status=400, json={"meta": {}, "data": {"errors": errors}})
    assert sample.main("first") == 1
    (line,) = lines(capsys.readouterr().err)
    assert '"to: invalid to; from: invalid from"' in line


@pytest.mark.parametrize("target", ["https://evil.example/reports", "http://api.sse.cisco.com/reports/v2/second"])
def test_a_redirect_that_is_refused(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], target: str) -> None:
    api.token(TOKEN)
    api.report("first")
    api.report("second", status=302, headers={"Location": target})
    api.report("third")
    assert sample.main("first", "second", "third") == 1
    out, err = capsys.readouterr()
    assert out.count("requests") == 2
    (line,) = lines(err)
    assert "redirected to " + "/".join(target.split("/")[:3]) + ", which is not followed" in line
    assert api.wire == ["POST"] + [TOKEN] * 3


def test_a_loop_of_redirects(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.token(TOKEN)
    api.report("first", status=302, headers={"Location": f"{REPORTS_URL}/first"})
    api.report("second")
    assert sample.main("first", "second") == 1
    out, err = capsys.readouterr()
    assert out.count("requests") == 1
    assert (
        lines(err)[-1]
        == f"No report from {REPORTS_URL}/first: one redirect after another (Exceeded 5 redirects.). {URLS}"
    )
    assert len(api.wire) == 1 + 6 + 1


@pytest.mark.parametrize("report", [REPORT, {}, [], "text", 0, None, {"error": "invalid_request"}])
def test_a_report_of_any_shape_is_printed(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], report: Any
) -> None:
    api.token(TOKEN)
    api.report("first", json=report) if report is not None else api.report("first", body="null")
    assert sample.main("first") == 0
    assert capsys.readouterr().out != ""


@pytest.mark.parametrize("depth", [500, 990, 1000, 1200, 1500, 5000, 100_000])
def test_a_report_of_any_depth_ends_well(
    sample: Sample, api: Api, capsys: pytest.CaptureFixture[str], depth: int
) -> None:
    api.token(TOKEN)
    api.report("first", body="[" * depth + "]" * depth)
    code = sample.main("first")
    out, err = capsys.readouterr()
    if code == 0:
        assert (out.count("["), lines(err)) == (depth, [])
    else:
        (line,) = lines(err)
        assert code == 1
        assert "200 OK, but no JSON" in line or line == "Cannot write the report: it is nested too deeply"


def test_too_deep_for_any_python(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        return main()

    main.__module__ = sample.module.__name__
    assert cli.run(main) == 1
    assert lines(capsys.readouterr().err) == ["Cannot write the report: it is nested too deeply"]


def test_interrupted(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(request: Any) -> Any:
        raise KeyboardInterrupt

    api.token(TOKEN)
    api.report("first")
    api.mock.add_callback("GET", f"{REPORTS_URL}/second", interrupt)
    assert sample.main("first", "second") == 130
    out, err = capsys.readouterr()
    assert out.count("requests") == 1
    assert lines(err) == []


@pytest.mark.parametrize(("secret", "told"), [("", "Not s:t:r"), ("s:t:r", "Not ...")])
def test_of_what_a_server_says_the_secret_alone_is_left_out(sample: Sample, api: Api, secret: str, told: str) -> None:
    api.mock.post(TOKEN_URL, status=401, json={"message": "Not s:t:r"})
    with pytest.raises(ApiError) as error:
        sample.query(sample.client(TOKEN_URL, "the-key", secret), "first")
    assert f'401 Unauthorized, "{told}". ' in str(error.value)
