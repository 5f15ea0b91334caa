"""The transport: redirects, retries, timeouts, ~/.netrc."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from helpers import REPORT, SUMMARY, TOKEN, Api, Clock, Sample

from common.answers import read_report
from common.config import REPORTS_URL, TOKEN_URL
from common.errors import ApiError
from common.session import BACKOFF, MAX_REDIRECTS, RETRIES, ApiSession

TRIES = 1 + RETRIES
URL = "https://api.sse.cisco.com/reports/v2/summary"
UMBRELLA = "https://api.umbrella.com/reports.eu/v2"
GATEWAY = "https://gateway.example/reports"


def get(url: str = URL) -> Any:
    return ApiSession().get(url, headers={"Authorization": f"Bearer {TOKEN}"})


def redirect(api: Api, source: str, target: str, status: int = 302) -> None:
    api.mock.get(source, status=status, headers={"Location": target})


def sent(api: Api) -> list[tuple[str, Any]]:
    return [(request.url, request.headers.get("Authorization")) for request in api.requests]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (URL, "/reports.us/v2/summary"),
        (URL, "https://api.sse.cisco.com:443/reports.eu/v2/summary"),
        (URL, "https://api.umbrella.com/reports.eu/v2/summary"),
        (URL, "https://API.Umbrella.COM/reports.eu/v2/summary"),
        (URL, "https://api.us.sse.cisco.com:8443/reports/v2/summary"),
        (GATEWAY, "https://gateway.example/elsewhere"),
    ],
)
def test_the_token_goes_along_to_a_trusted_host(api: Api, source: str, target: str, status: int) -> None:
    redirect(api, source, target, status)
    api.mock.get(urljoin(source, target), json=REPORT)
    assert get(source).json() == REPORT
    assert sent(api) == [(source, f"Bearer {TOKEN}"), (urljoin(source, target), f"Bearer {TOKEN}")]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (URL, "https://evil.example/reports/v2/summary"),
        (URL, "https://umbrella.com.evil.example/"),
        (URL, "https://evilumbrella.com/"),
        (URL, "https://api.umbrella.com@evil.example/"),
        (URL, "https://user:password@api.umbrella.com/"),
        (URL, "https://evil.example/.cisco.com"),
        (URL, "https://evil.example?.cisco.com"),
        (URL, "https://[fe80::1%25.cisco.com]/x"),
        (URL, "http://api.sse.cisco.com/reports/v2/summary"),
        (URL, "http://api.umbrella.com/reports/v2/summary"),
        (URL, "ftp://api.umbrella.com/"),
        (GATEWAY, "https://gateway.example:8443/reports"),
    ],
)
def test_a_redirect_elsewhere_is_refused_before_anything_is_sent(api: Api, source: str, target: str) -> None:
    redirect(api, source, target)
    with pytest.raises(ApiError, match="which is not followed") as error:
        get(source)
    assert error.value.response is not None and error.value.response.status_code == 302
    assert error.value.__cause__ is None
    assert [url for url, _ in sent(api)] == [source]


@pytest.mark.parametrize("target", [f"{TOKEN_URL}2", "https://api.umbrella.com/auth/v2/token"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_secret_is_never_redirected(sample: Sample, api: Api, target: str, status: int) -> None:
    api.mock.post(TOKEN_URL, status=status, headers={"Location": target})
    with pytest.raises(ApiError, match=r"^Could not get a token from .*: redirected to https://api"):
        sample.query(sample.new(), SUMMARY)
    assert len(api.requests) == 1


def test_another_method_is_not_redirected(api: Api) -> None:
    api.mock.delete(URL, status=302, headers={"Location": URL})
    with pytest.raises(ApiError, match=r"^Could not get a response from .*: redirected to https://api"):
        ApiSession().delete(URL)
    api.mock.delete(URL, status=403)
    with pytest.raises(ApiError, match=r"^Could not get a response from .*: 403 Forbidden .*REPORTS_URL and any proxy"):
        read_report(requests.delete(URL, timeout=5))


@pytest.mark.parametrize(
    ("target", "words", "requests"),
    [
        (URL, "too many redirects", MAX_REDIRECTS + 1),
        ("https://[", "malformed address or answer", 1),
        ("https://api.umbrella.com:99999/", "malformed address or answer", 1),
    ],
)
def test_a_redirect_to_nowhere(api: Api, target: str, words: str, requests: int) -> None:
    redirect(api, URL, target)
    with pytest.raises(ApiError, match=words) as error:
        get()
    assert error.value.request is not None and error.value.request.method == "GET"
    assert len(api.requests) == requests


# An organization in another region


@pytest.mark.parametrize("first", [SUMMARY, "/summary", "summary?from=-1days&what=why?"])
def test_the_detour_is_made_once(sample: Sample, api: Api, caplog: pytest.LogCaptureFixture, first: str) -> None:
    caplog.set_level("INFO", logger="common")
    path = first.lstrip("/")
    api.token(TOKEN)
    redirect(api, f"{REPORTS_URL}/{path}", f"{URL}/hop")
    redirect(api, f"{URL}/hop", f"{UMBRELLA}/{path}")
    api.report(path, base=UMBRELLA)
    api.report("activity?limit=1", base=UMBRELLA)
    client = sample.new()
    for end_point in (first, "activity?limit=1", first):
        assert sample.query(client, end_point) == REPORT
    regional = [f"{UMBRELLA}/{end_point}" for end_point in (path, "activity?limit=1", path)]
    assert sent(api)[1:] == [(url, f"Bearer {TOKEN}") for url in (f"{REPORTS_URL}/{path}", f"{URL}/hop", *regional)]
    assert caplog.messages == [f"Redirected to {URL}/hop", f"Redirected to {UMBRELLA}/summary"]


def test_a_redirect_to_another_report_leaves_the_base(sample: Sample, api: Api) -> None:
    api.token(TOKEN)
    redirect(api, f"{REPORTS_URL}/{SUMMARY}", f"{UMBRELLA}/other")
    api.report("other", base=UMBRELLA)
    client = sample.new()
    sample.query(client, SUMMARY)
    assert client.reports_url == REPORTS_URL


# Retries


# The clock starts at 08:00:00.
PAST, SOON, LATER = (f"Fri, 15 Jan 2027 {time} GMT" for time in ("07:00:00", "08:00:29", "08:01:00"))


@pytest.mark.parametrize(
    ("pause", "waits"),
    [("30", [30, 30, 30]), (SOON, [29, 1, 2]), *[(too_long, []) for too_long in ("31", " 31 ", "9" * 400, LATER)]],
)
def test_a_pause_of_up_to_30_seconds_is_obeyed(
    api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch, pause: str, waits: list[float]
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: 1)
    api.mock.get(URL, status=429, headers={"Retry-After": pause})
    assert get().status_code == 429
    assert clock.slept == waits


@pytest.mark.parametrize("factor", [0.5, 1.5])
@pytest.mark.parametrize(
    "pause", [None, "", "0", "-5", "soon", "1.5", "1 Jan 2000 1.2.. -", "Mon, 01 Jan 0000 00:00:00 GMT", PAST, "\xb2"]
)
def test_without_a_usable_pause_the_waits_double(
    api: Api, clock: Clock, monkeypatch: pytest.MonkeyPatch, pause: str | None, factor: float
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low if factor < 1 else high)
    api.mock.get(URL, status=429, headers={} if pause is None else {"Retry-After": pause})
    get()
    assert clock.slept == [BACKOFF * factor, 2 * BACKOFF * factor, 4 * BACKOFF * factor]


def test_each_retry_names_its_cause_and_its_pause(
    api: Api, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: 1)
    caplog.set_level("INFO", logger="common")
    api.mock.get(URL, status=429, headers={"Retry-After": "7"})
    api.mock.get(URL, body=requests.ConnectionError(ConnectionResetError()))
    api.mock.get(URL, json=REPORT)
    assert get().json() == REPORT
    assert caplog.messages == [
        "Trying again in 7.0 seconds: 429 Too Many Requests",
        "Trying again in 1.0 seconds: the connection was closed too early",
    ]
    assert clock.slept == [7, 1]


# What requests.Session takes, and gives


@pytest.mark.parametrize("timeout", [5, (5, None)])
def test_a_timeout_and_a_certificate_of_ones_own(api: Api, clock: Clock, timeout: Any) -> None:
    api.mock.get(URL, body=requests.ConnectionError(ConnectionResetError()))
    api.mock.get(URL, json=REPORT)
    assert ApiSession().get(URL, timeout=timeout, cert="client.pem").json() == REPORT
    assert [request.req_kwargs["timeout"] for request in api.requests] == [timeout, timeout]
    assert [request.req_kwargs["cert"] for request in api.requests] == ["client.pem", "client.pem"]


def test_a_redirect_that_is_not_to_be_followed(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="common")
    redirect(api, URL, "https://evil.example/")
    assert ApiSession().get(URL, allow_redirects=False).status_code == 302
    assert caplog.messages == []


def test_text_is_utf_8_whatever_the_header_says(api: Api) -> None:
    api.mock.get(URL, body=b"caf\xc3\xa9, caf\xe9", content_type="text/plain; charset=iso-8859-1")
    assert get().text == "café, caf\ufffd"


def test_netrc_is_not_consulted(sample: Sample, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login mallory password hijacked\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api.token(TOKEN)
    redirect(api, f"{REPORTS_URL}/{SUMMARY}", f"{UMBRELLA}/{SUMMARY}")
    api.report(SUMMARY, base=UMBRELLA)
    sample.query(sample.new(), SUMMARY)
    ApiSession().get(f"{UMBRELLA}/{SUMMARY}")
    basic, *others = [authorization for _, authorization in sent(api)]
    assert basic.startswith("Basic dGhlLWtleTp0aGUtc2VjcmV0")
    assert others == [f"Bearer {TOKEN}"] * 2 + [None]


def test_an_empty_answer_is_cut_unless_it_has_a_length(api: Api, clock: Clock) -> None:
    api.mock.get(URL, body="")
    with pytest.raises(ApiError, match=r"closed too early \(the answer ends in its headers\)"):
        get()


@pytest.mark.parametrize("length", [{"Content-Length": "0"}, {"Transfer-Encoding": "chunked"}])
def test_an_empty_answer_is_whole_if_it_says_so(api: Api, length: dict[str, str]) -> None:
    api.mock.get(URL, body="", headers=length)
    assert get().content == b""
    assert len(api.requests) == 1
