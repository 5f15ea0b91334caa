"""The transport: redirects, retries, timeouts, ~/.netrc."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from helpers import REPORT, SUMMARY, Api, Clock, Sample
from urllib3.exceptions import ProtocolError

from common.answers import ApiError, ReportError
from common.config import REPORTS_URL, TOKEN_URL
from common.session import BACKOFF, MAX_REDIRECTS, RETRIES, RETRY_STATUSES, ApiRetry, ApiSession

URL = "https://api.sse.cisco.com/reports/v2/summary"
TOKEN = "the-access-token"
UMBRELLA = "https://api.umbrella.com/reports.eu/v2"


def get(url: str = URL) -> Any:
    return ApiSession().get(url, headers={"Authorization": f"Bearer {TOKEN}"})


def redirect(api: Api, source: str, target: str, status: int = 302) -> None:
    api.mock.get(source, status=status, headers={"Location": target})


def sent(api: Api) -> list[tuple[str, Any]]:
    return [(request.url, request.headers.get("Authorization")) for request in api.requests]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    [
        "https://api.sse.cisco.com/reports.eu/v2/summary",
        "https://api.sse.cisco.com:443/reports.eu/v2/summary",
        "https://api.umbrella.com/reports.eu/v2/summary",
        "https://API.Umbrella.COM/reports.eu/v2/summary",
        "https://api.us.sse.cisco.com:8443/reports/v2/summary",
    ],
)
def test_the_token_goes_along_to_a_trusted_host(api: Api, target: str, status: int) -> None:
    redirect(api, URL, target, status)
    api.mock.get(target, json=REPORT)
    assert get().json() == REPORT
    assert sent(api) == [(URL, f"Bearer {TOKEN}"), (target, f"Bearer {TOKEN}")]


def test_a_relative_redirect(api: Api) -> None:
    redirect(api, URL, "/reports.us/v2/summary")
    api.mock.get("https://api.sse.cisco.com/reports.us/v2/summary", json=REPORT)
    assert get().json() == REPORT


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("https://evil.example/reports/v2/summary", "https://evil.example"),
        ("https://umbrella.com.evil.example/", "https://umbrella.com.evil.example"),
        ("https://evilumbrella.com/", "https://evilumbrella.com"),
        ("https://api.umbrella.com@evil.example/", "https://evil.example"),
        ("https://evil.example/.cisco.com", "https://evil.example"),
        ("https://evil.example?.cisco.com", "https://evil.example"),
        ("//evil.example/", "https://evil.example"),
        ("http://api.sse.cisco.com/reports/v2/summary", "http://api.sse.cisco.com"),
        ("http://api.umbrella.com/reports/v2/summary", "http://api.umbrella.com"),
        ("ftp://api.umbrella.com/", "ftp://api.umbrella.com"),
    ],
)
def test_a_redirect_elsewhere_is_refused_before_anything_is_sent(api: Api, target: str, place: str) -> None:
    redirect(api, URL, target)
    with pytest.raises(ReportError) as error:
        get()
    assert str(error.value) == (
        f"No report from {URL}: redirected to {place}, which is not followed. Secret and token go to trusted hosts "
        "only: check TOKEN_URL, REPORTS_URL and any proxy on the way."
    )
    assert error.value.response is not None
    assert error.value.response.status_code == 302
    assert [url for url, _ in sent(api)] == [URL]


def test_a_gateway_of_ones_own_may_redirect_to_itself(api: Api) -> None:
    redirect(api, "https://gateway.example/reports/summary", "https://gateway.example/elsewhere")
    api.mock.get("https://gateway.example/elsewhere", json=REPORT)
    get("https://gateway.example/reports/summary")
    assert sent(api)[1] == ("https://gateway.example/elsewhere", f"Bearer {TOKEN}")


def test_a_gateway_of_ones_own_may_not_redirect_to_another_port(api: Api) -> None:
    redirect(api, "https://gateway.example/reports/summary", "https://gateway.example:8443/reports/summary")
    with pytest.raises(ReportError):
        get("https://gateway.example/reports/summary")


@pytest.mark.parametrize("target", [f"{TOKEN_URL}2", "https://api.umbrella.com/auth/v2/token"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_secret_is_never_redirected(sample: Sample, api: Api, target: str, status: int) -> None:
    api.mock.post(TOKEN_URL, status=status, headers={"Location": target})
    with pytest.raises(ApiError, match=r"^No token from .*: redirected to https://api") as error:
        sample.query(sample.new(), SUMMARY)
    assert not isinstance(error.value, ReportError)
    assert len(api.requests) == 1


def test_redirects_have_an_end(api: Api) -> None:
    redirect(api, URL, URL)
    with pytest.raises(ReportError, match="one redirect after another"):
        get()
    assert len(api.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("target", ["https://[", "https://api.umbrella.com:port/", "https://api.umbrella.com:99999/"])
def test_a_redirect_that_makes_no_sense(api: Api, target: str) -> None:
    redirect(api, URL, target)
    with pytest.raises(ReportError, match="an address or an answer is malformed"):
        get()


# An organization in another region


@pytest.mark.parametrize("first", [SUMMARY, "summary", "summary?from=-1days&what=why?"])
def test_the_detour_is_made_once(sample: Sample, api: Api, caplog: pytest.LogCaptureFixture, first: str) -> None:
    caplog.set_level("INFO", logger="common")
    api.token(TOKEN)
    redirect(api, f"{REPORTS_URL}/{first}", f"{UMBRELLA}/{first}")
    api.report(first, base=UMBRELLA)
    api.report("activity?limit=1", base=UMBRELLA)
    client = sample.new()
    for end_point in (first, "activity?limit=1", first):
        assert sample.query(client, end_point) == REPORT
    assert [url for url, _ in sent(api)] == [
        TOKEN_URL,
        f"{REPORTS_URL}/{first}",
        f"{UMBRELLA}/{first}",
        f"{UMBRELLA}/activity?limit=1",
        f"{UMBRELLA}/{first}",
    ]
    assert {authorization for _, authorization in sent(api)[1:]} == {f"Bearer {TOKEN}"}
    assert caplog.messages == ["Redirected to https://api.umbrella.com/reports.eu/v2/summary"]


def test_a_token_rejected_in_the_region_is_refreshed(sample: Sample, api: Api) -> None:
    api.token(TOKEN, "second")
    redirect(api, f"{REPORTS_URL}/{SUMMARY}", f"{UMBRELLA}/{SUMMARY}")
    api.report(SUMMARY, base=UMBRELLA, status=401)
    api.report(SUMMARY, base=UMBRELLA)
    assert sample.query(sample.new(), SUMMARY) == REPORT
    assert [request.method for request in api.requests] == ["POST", "GET", "GET", "POST", "GET", "GET"]


def test_a_redirect_to_another_report_moves_no_base(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    redirect(api, f"{REPORTS_URL}/{SUMMARY}", f"{UMBRELLA}/other")
    api.report("other", base=UMBRELLA)
    client = sample.new()
    sample.query(client, SUMMARY)
    assert client.reports_url == REPORTS_URL


# Retries


@pytest.mark.parametrize("status", RETRY_STATUSES)
def test_a_passing_trouble_at_either_end(sample: Sample, api: Api, status: int) -> None:
    api.mock.post(TOKEN_URL, status=status)
    api.token(TOKEN)
    api.report(status=status)
    api.report()
    assert sample.query(sample.new(), SUMMARY) == REPORT
    assert api.wire == ["POST", "POST", TOKEN, TOKEN]


@pytest.mark.parametrize("url", [URL, "http://localhost/reports/v2/summary"])
@pytest.mark.parametrize("status", RETRY_STATUSES)
def test_a_lasting_trouble(api: Api, status: int, url: str) -> None:
    api.mock.get(url, status=status)
    assert get(url).status_code == status
    assert len(api.requests) == 1 + RETRIES


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_what_is_not_worth_a_retry(api: Api, status: int) -> None:
    api.mock.get(URL, status=status)
    get()
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("pause", "tries"), [("30", 4), ("31", 1), ("3600", 1), (" 31 ", 1), ("9" * 400, 1)])
def test_a_long_pause_is_not_waited_for(api: Api, pause: str, tries: int, status: int) -> None:
    api.mock.get(URL, status=status, headers={"Retry-After": pause})
    assert get().status_code == status
    assert len(api.requests) == tries


@pytest.mark.parametrize(("seconds", "tries"), [(-60, 4), (29, 4), (60, 1)])
def test_a_pause_until_a_date(api: Api, clock: Clock, seconds: int, tries: int) -> None:
    api.mock.get(URL, status=429, headers={"Retry-After": formatdate(clock.now + seconds, usegmt=True)})
    get()
    assert len(api.requests) == tries


class Answer:
    """As much of an urllib3 response as a Retry looks at."""

    def __init__(self, pause: str | None) -> None:
        self.headers = {} if pause is None else {"Retry-After": pause}
        self.status = 429

    def get_redirect_location(self) -> bool:
        return False


@pytest.mark.parametrize(("draw", "factor"), [(0.5, 0.5), (1.0, 1.0), (1.5, 1.5)])
@pytest.mark.parametrize(
    "pause", [None, "", "0", "-5", "soon", "1.5", "Mon, 99 Foo 2026", "Mon, 01 Jan 0000 00:00:00 GMT", "٣"]
)
def test_without_a_usable_pause_the_waits_double(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, pause: str | None, draw: float, factor: float
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: {0.5: low, 1.0: 1.0, 1.5: high}[draw])
    retry = ApiRetry(RETRIES)
    for _ in range(RETRIES):
        retry = retry.increment("GET", "/", response=Answer(pause))
        retry.sleep(Answer(pause))
    assert clock.slept == [BACKOFF * factor, 2 * BACKOFF * factor, 4 * BACKOFF * factor]


def test_a_pause_that_the_server_asks_for_is_kept(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="common")
    retry = ApiRetry(RETRIES).increment("GET", "/", response=Answer("7"))
    retry.sleep(Answer("7"))
    assert clock.slept == [7]
    assert caplog.messages == ["429: trying again in 7.0 seconds"]


def test_each_retry_names_its_own_cause(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: 1)
    caplog.set_level("INFO", logger="common")
    retry = ApiRetry(RETRIES).increment("GET", "/", response=Answer(None))
    retry.sleep(Answer(None))
    retry.increment("GET", "/", error=ProtocolError()).sleep()
    assert caplog.messages == ["429: trying again in 0.5 seconds", "No connection: trying again in 1.0 seconds"]


# What requests.Session takes, and gives


def test_an_argument_by_position_and_a_timeout_of_ones_own(api: Api) -> None:
    api.mock.get(f"{URL}?limit=1", json=REPORT)
    ApiSession().request("GET", URL, {"limit": "1"}, timeout=5)
    assert api.requests[0].url == f"{URL}?limit=1"
    assert api.requests[0].req_kwargs["timeout"] == 5


def test_text_is_utf_8_whatever_the_header_says(api: Api) -> None:
    api.mock.get(URL, body=b"caf\xc3\xa9, caf\xe9", content_type="text/plain; charset=iso-8859-1")
    assert get().text == "café, caf\ufffd"


# ~/.netrc


def test_netrc_is_not_consulted(sample: Sample, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password hijacked\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api.token(TOKEN)
    redirect(api, f"{REPORTS_URL}/{SUMMARY}", f"{UMBRELLA}/{SUMMARY}")
    api.report(SUMMARY, base=UMBRELLA)
    sample.query(sample.new(), SUMMARY)
    assert sent(api)[0][1].startswith("Basic dGhlLWtleTp0aGUtc2VjcmV0")
    assert [authorization for _, authorization in sent(api)[1:]] == [f"Bearer {TOKEN}"] * 2


def test_a_request_without_authorization_stays_so(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password hijacked\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api.mock.get(URL, json=REPORT)
    ApiSession().get(URL)
    assert sent(api) == [(URL, None)]
