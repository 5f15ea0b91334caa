"""What both samples promise, whichever one it is."""

from __future__ import annotations

import ast
import base64
import io
import json
import logging
from typing import Any

import pytest
import requests
from helpers import KEY, REPORT, SAMPLES, SECRET, SUMMARY, Api, Clock, Sample

from common.answers import ApiError, ReportError, TokenRejected
from common.session import TIMEOUT

TOKEN = "eyJ0b2tlbiI6IjEifQ.abcdefghijklmnopqrstuvwxyz"
SECOND = "eyJ0b2tlbiI6IjIifQ.abcdefghijklmnopqrstuvwxyz"
UNAUTHORIZED = {"meta": {}, "data": {"error": "unauthorized"}}
EXPIRED = {"error": "invalid_request"}
BAD_OFFSET = {
    "meta": {},
    "data": {"errors": [{"param": "offset", "value": "11000", "error": "invalid offset: too big"}]},
}


# The requests


def test_the_token_request(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    api.report()
    assert sample.query(sample.new(), SUMMARY) == REPORT
    request = api.requests[0]
    assert (request.method, request.url) == ("POST", "https://api.sse.cisco.com/auth/v2/token")
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.body == "grant_type=client_credentials"
    assert "X-Umbrella-OrgId" not in request.headers
    assert "Authorization" in list(request.headers)  # as it is spelled on the wire


def test_the_report_request(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    api.report()
    sample.query(sample.new(), SUMMARY)
    request = api.requests[1]
    assert (request.method, request.body) == ("GET", None)
    assert request.url == "https://api.sse.cisco.com/reports/v2/summary?from=-1days&to=now"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorization" in list(request.headers)


def test_the_organization_is_for_the_token_request_only(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    api.report()
    sample.query(sample.new(org_id="77"), SUMMARY)
    assert [request.headers.get("X-Umbrella-OrgId") for request in api.requests] == ["77", None]
    assert "X-Umbrella-OrgId" in list(api.requests[0].headers)


def test_every_request_has_the_timeout(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    api.report()
    sample.query(sample.new(), SUMMARY)
    assert [request.req_kwargs["timeout"] for request in api.requests] == [TIMEOUT, TIMEOUT]


def test_a_new_object_sends_nothing(sample: Sample, api: Api) -> None:
    sample.new()
    assert api.wire == []


def test_the_published_method_gets_a_token(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    client = sample.new()
    if hasattr(client, "GetToken"):
        assert client.GetToken()["access_token"] == TOKEN
    else:
        assert client.getAccessToken() == TOKEN
    api.report()
    sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN]


# Acquire, reuse, refresh


def test_one_token_for_any_number_of_reports(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    api.report()
    client = sample.new()
    for _ in range(5):
        sample.query(client, SUMMARY)
    assert api.wire == ["POST"] + [TOKEN] * 5


def test_refresh_at_the_expiry_and_not_before(sample: Sample, api: Api, clock: Clock) -> None:
    api.token(TOKEN, SECOND)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    clock.now += 3600 - sample.margin
    sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN]
    clock.now += 1
    sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN, "POST", SECOND]
    clock.now += 3600 - sample.margin
    sample.query(client, SUMMARY)
    assert api.wire[5:] == [SECOND]


@pytest.mark.parametrize("lifetime", [1, 15])
def test_the_margin_suits_a_token_that_lives_for_seconds(sample: Sample, api: Api, clock: Clock, lifetime: int) -> None:
    api.token(TOKEN, SECOND, expires_in=lifetime)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    clock.now += lifetime - min(sample.margin, lifetime / 10)
    sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN]
    clock.now += 0.01
    sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN, "POST", SECOND]


@pytest.mark.parametrize(("status", "body"), [(401, UNAUTHORIZED), (400, EXPIRED), (401, None)])
def test_one_new_token_for_a_rejected_one(sample: Sample, api: Api, status: int, body: Any) -> None:
    api.token(TOKEN, SECOND)
    api.report(status=status, json=body)
    api.report()
    client = sample.new()
    assert sample.query(client, SUMMARY) == REPORT
    assert sample.query(client, SUMMARY) == REPORT
    assert api.wire == ["POST", TOKEN, "POST", SECOND, SECOND]


@pytest.mark.parametrize(("status", "body"), [(401, UNAUTHORIZED), (400, EXPIRED)])
def test_rejected_for_ever(sample: Sample, api: Api, status: int, body: Any) -> None:
    api.token(TOKEN, SECOND)
    api.report(status=status, json=body)
    with pytest.raises(TokenRejected) as error:
        sample.query(sample.new(), SUMMARY)
    assert api.wire == ["POST", TOKEN, "POST", SECOND]
    assert error.value.response is not None
    assert error.value.response.status_code == status
    assert str(error.value) == (
        "No report from https://api.sse.cisco.com/reports/v2/summary?from=-1days&to=now: "
        + ('401 Unauthorized, "unauthorized"' if status == 401 else '400 Bad Request, "invalid_request"')
        + ". A new token is rejected too: check that TOKEN_URL and REPORTS_URL belong together."
    )


def test_expired_and_then_rejected(sample: Sample, api: Api, clock: Clock) -> None:
    api.token(TOKEN, SECOND, "third")
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    clock.now += 4000
    api.mock.replace("GET", api.requests[1].url, status=401)
    api.report()
    assert sample.query(client, SUMMARY) == REPORT
    assert api.wire == ["POST", TOKEN, "POST", SECOND, "POST", "third"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, BAD_OFFSET),
        (400, {"error": "invalid offset"}),
        (400, {"message": "invalid_request"}),
        (400, ["error"]),
        (400, 1),
        (403, EXPIRED),
    ],
)
def test_another_error_is_no_reason_for_a_new_token(sample: Sample, api: Api, status: int, body: Any) -> None:
    api.token(TOKEN)
    api.report(status=status, json=body)
    with pytest.raises(ReportError):
        sample.query(sample.new(), SUMMARY)
    assert api.wire == ["POST", TOKEN]


# Odd tokens


@pytest.mark.parametrize("lifetime", [None, 0, -5, "0", ""])
def test_a_token_without_a_lifetime_is_used_until_it_is_rejected(
    sample: Sample, api: Api, clock: Clock, lifetime: Any
) -> None:
    api.token(TOKEN)  # its expiry must not be taken for that of the second one
    api.token(SECOND, expires_in=lifetime)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    for _ in range(3):
        clock.now += 4000
        assert sample.query(client, SUMMARY) == REPORT
    assert api.wire == ["POST", TOKEN, "POST", SECOND, SECOND, SECOND]


def test_no_expires_in_at_all(sample: Sample, api: Api, clock: Clock) -> None:
    api.mock.post("https://api.sse.cisco.com/auth/v2/token", json={"access_token": TOKEN})
    api.report()
    client = sample.new()
    for _ in range(3):
        sample.query(client, SUMMARY)
        clock.now += 4000
    assert api.wire == ["POST", TOKEN, TOKEN, TOKEN]


@pytest.mark.parametrize("lifetime", ["3600", 3600.0, 3600.9, "3600.0"])
def test_a_lifetime_of_another_type(sample: Sample, api: Api, clock: Clock, lifetime: Any) -> None:
    api.token(TOKEN, SECOND, expires_in=lifetime)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    clock.now += 3600 - sample.margin
    sample.query(client, SUMMARY)
    clock.now += 1
    sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN, "POST", SECOND]


@pytest.mark.parametrize(
    "fields", [{"expires_at": 1}, {"expires_at": "soon"}, {"scope": 5}, {"error": 1, "mac_key": 2}]
)
def test_fields_that_are_not_of_the_rfc_change_nothing(sample: Sample, api: Api, fields: dict[str, Any]) -> None:
    api.token(TOKEN, SECOND, **fields)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    assert sample.query(client, SUMMARY) == REPORT
    assert api.wire == ["POST", TOKEN, TOKEN]


@pytest.mark.parametrize("token_type", ["Bearer", "BEARER", None, ""])
def test_spellings_of_bearer(sample: Sample, api: Api, caplog: pytest.LogCaptureFixture, token_type: Any) -> None:
    caplog.set_level("INFO", logger=sample.module.__name__)
    api.token(TOKEN, token_type=token_type)
    api.report()
    sample.query(sample.new(), SUMMARY)
    assert api.requests[1].headers["Authorization"] == f"Bearer {TOKEN}"
    assert f"'token_type': '{token_type or 'bearer'}'" in caplog.text


NOT_A_TOKEN = [
    ({"json": [TOKEN]}, "but no access_token in it"),
    ({"json": TOKEN}, "but no access_token in it"),
    ({"json": {}}, "but no access_token in it"),
    ({"json": {"access_token": None}}, "but no access_token in it"),
    ({"json": {"access_token": {"a": 1}}}, "but no access_token in it"),
    ({"json": {"access_token": "  "}}, "but an access_token that no header can carry"),
    ({"json": {"access_token": "a\r\nX-Evil: 1"}}, "but an access_token that no header can carry"),
    ({"json": {"access_token": "schlüssel"}}, "but an access_token that no header can carry"),
    ({"json": {"access_token": TOKEN, "token_type": "mac"}}, "but a token_type other than bearer"),
    ({"json": {"access_token": TOKEN, "token_type": ["bearer"]}}, "but a token_type other than bearer"),
    ({"json": {"access_token": TOKEN, "expires_in": "soon"}}, "but an expires_in that is no number of seconds"),
    ({"json": {"access_token": TOKEN, "expires_in": [1]}}, "but an expires_in that is no number of seconds"),
    ({"body": '{"access_token": "a", "expires_in": Infinity}'}, "but an expires_in that is no number of seconds"),
    ({"body": '{"access_token": "a", "expires_in": NaN}'}, "but an expires_in that is no number of seconds"),
    ({"body": '{"access_token": "a", "expires_in": 1' + "0" * 400 + "}"}, "but an expires_in that is no number"),
    ({"body": f"access_token={TOKEN}&expires_in=3600"}, "but no JSON, without a word"),
    ({"body": "<html><body>Log in</body></html>"}, 'but no JSON, "an HTML page"'),
    ({"body": ""}, "but no JSON, without a word"),
    ({"body": b"\xff\xfe\xfd"}, "but no JSON"),
    ({"body": "[" * 100_000}, "but no JSON"),
    ({"body": "{}", "content_type": "application/json; charset=\x00"}, "but no access_token in it"),
]


@pytest.mark.parametrize(("answer", "words"), NOT_A_TOKEN)
def test_an_answer_that_is_no_token(sample: Sample, api: Api, answer: dict[str, Any], words: str) -> None:
    api.mock.post("https://api.sse.cisco.com/auth/v2/token", **answer)
    with pytest.raises(ApiError) as error:
        sample.query(sample.new(), SUMMARY)
    assert not isinstance(error.value, ReportError)
    assert str(error.value).startswith("No token from https://api.sse.cisco.com/auth/v2/token: 200 OK, " + words)
    assert str(error.value).endswith("Check TOKEN_URL, REPORTS_URL and any proxy on the way.")
    assert TOKEN not in str(error.value)
    assert api.wire == ["POST"]


# What the user sees


def test_reports_on_stdout_and_one_token_line_on_stderr(
    sample: Sample, api: Api, credentials: None, capsys: pytest.CaptureFixture[str]
) -> None:
    api.token(TOKEN)
    api.report()
    assert sample.main() == 0
    out, err = capsys.readouterr()
    as_dict, as_json = f"{REPORT}\n", json.dumps(REPORT, indent=4) + "\n"
    assert out == 2 * (as_dict if not sample.prints_json else as_json)
    assert api.wire == ["POST", TOKEN, TOKEN]
    assert err.count("\n") == 1
    token = ast.literal_eval(err.partition("Token: ")[2])
    assert list(token) == ["token_type", "access_token", "expires_in", "expires_at"]
    assert (token["token_type"], token["access_token"], token["expires_in"]) == ("bearer", "eyJ0b2tl...", 3600)


def test_a_report_appears_before_the_next_one_is_asked_for(
    sample: Sample, api: Api, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe, "utf-8"))
    seen: list[int] = []

    def look(request: Any) -> tuple[int, dict[str, str], str]:
        seen.append(pipe.getvalue().count(b"requests"))
        return 200, {}, json.dumps(REPORT)

    api.token(TOKEN)
    api.mock.add_callback("GET", "https://api.sse.cisco.com/reports/v2/first", look)
    api.mock.add_callback("GET", "https://api.sse.cisco.com/reports/v2/second", look)
    assert sample.main("first", "second") == 0
    assert seen == [0, 1]


def test_end_points_of_the_command_line(sample: Sample, api: Api, credentials: None) -> None:
    api.token(TOKEN)
    api.report("top-threats?limit=1")
    api.report("total-requests")
    assert sample.main("/top-threats?limit=1", "total-requests") == 0
    assert [request.url.rpartition("/")[2] for request in api.requests] == [
        "token",
        "top-threats?limit=1",
        "total-requests",
    ]


def test_show_token(sample: Sample, api: Api, credentials: None, capsys: pytest.CaptureFixture[str]) -> None:
    api.token(TOKEN)
    api.report()
    assert sample.main("--show-token", SUMMARY) == 0
    assert f"'access_token': '{TOKEN}'" in capsys.readouterr().err


@pytest.mark.parametrize(("token", "shown"), [("a" * 600, "aaaaaaaa..."), ("a" * 12, "aaa..."), ("abc", "...")])
def test_of_a_token_the_first_characters_are_shown(
    sample: Sample, api: Api, credentials: None, capsys: pytest.CaptureFixture[str], token: str, shown: str
) -> None:
    api.token(token)
    api.report()
    sample.main()
    assert f"'access_token': '{shown}'" in capsys.readouterr().err


def test_settings_reach_the_requests(sample: Sample, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "API_KEY": "other",
        "API_SECRET": "one",
        "TOKEN_URL": "https://gateway.example/token",
        "REPORTS_URL": "https://gateway.example/reports/",
        "ORG_ID": "77",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    api.mock.post("https://gateway.example/token", json={"access_token": TOKEN, "expires_in": 60})
    api.report("total-requests", base="https://gateway.example/reports")
    assert sample.main("total-requests") == 0
    assert api.requests[0].headers["Authorization"] == "Basic " + base64.b64encode(b"other:one").decode()
    assert api.requests[0].headers["X-Umbrella-OrgId"] == "77"


def test_missing_credentials(sample: Sample, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "Settings: API_KEY is not set; API_SECRET is not set. Set or correct these environment variables, "
        f"or try it without an account: python3 -m common.sandbox {sample.script}\n"
    )
    assert api.wire == []


@pytest.mark.parametrize("end_point", ["", "/", "https://api.sse.cisco.com/reports/v2/summary", "a\nb"])
def test_an_end_point_that_is_none(
    sample: Sample, api: Api, credentials: None, capsys: pytest.CaptureFixture[str], end_point: str
) -> None:
    with pytest.raises(SystemExit) as error:
        sample.main(end_point)
    assert error.value.code == 2
    assert 'is not of the form "summary?from=-1days&to=now"' in capsys.readouterr().err
    assert api.wire == []


def test_the_decorator_leaves_name_and_documentation() -> None:
    decorated = SAMPLES[1].query
    assert decorated.__name__ == "callSecureAccessApi"
    assert (decorated.__doc__ or "").startswith("Return the decoded report")


def test_importing_a_sample_has_no_side_effects(sample: Sample, run: Any) -> None:
    done = run("-c", f"import logging, {sample.module.__name__}; print(logging.getLogger().handlers)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


BASIC = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()


def echo(request: Any) -> tuple[int, dict[str, str], str]:
    authorization = request.headers["Authorization"]
    return 403, {}, json.dumps({"message": f"{SECRET} {authorization} {authorization} is forbidden"})


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_no_text_of_ours_tells_a_secret(
    sample: Sample, api: Api, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    for name in ("common", sample.module.__name__):
        caplog.set_level(logging.DEBUG, logger=name)
    if method == "POST":
        api.mock.add_callback("POST", "https://api.sse.cisco.com/auth/v2/token", echo)
    else:
        api.token(TOKEN, SECOND)
        api.report(status=401)
        api.mock.add_callback("GET", f"https://api.sse.cisco.com/reports/v2/{SUMMARY}", echo)
    client = sample.new()
    with pytest.raises(ApiError, match="is forbidden") as error:
        sample.query(client, SUMMARY)
    told = caplog.text + str(error.value) + repr(error.value) + repr(client)
    for secret in (TOKEN, SECOND, BASIC) + (SECRET,) * (method == "POST"):
        assert secret not in told


def test_errors_are_those_of_requests_too(sample: Sample, api: Api) -> None:
    api.mock.post("https://api.sse.cisco.com/auth/v2/token", status=403, json={"message": "no"})
    with pytest.raises(requests.RequestException) as error:
        sample.query(sample.new(), SUMMARY)
    assert error.value.response is not None
    assert error.value.response.status_code == 403


def test_a_stdout_that_is_no_terminal_and_no_file(
    sample: Sample, api: Api, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    api.token(TOKEN)
    api.report()
    assert sample.main(SUMMARY) == 0
    assert "requests" in out.getvalue()


def test_the_sandbox_by_hand(
    api: Api, credentials: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the sandbox's child may use plain http with oauthlib; others are told so, and nothing is sent."""
    monkeypatch.setenv("TOKEN_URL", "http://127.0.0.1:8080/auth/v2/token")
    assert SAMPLES[0].main() == 1
    assert capsys.readouterr().err == (
        "(insecure_transport) OAuth 2 MUST utilize https. The sandbox starts the script itself: "
        "python3 -m common.sandbox oauthlib_api_sample_client.py\n"
    )
    assert api.wire == []
