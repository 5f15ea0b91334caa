"""Redirects: the token goes to the hosts of the API alone, the secret nowhere else."""

import pytest
import requests
from helpers import REPORT, SECOND, SUMMARY, SUMMARY_URL, TOKEN, one_sample

REGION = "https://api.umbrella.com/reports.eu/v2"
REGION_URL = f"{REGION}/{SUMMARY}"


def test_the_detour_to_another_region_is_paid_once(sample, api):
    api.token()
    api.redirect(REGION_URL)
    api.report(REGION_URL)
    client = sample.new()
    for _ in range(5):
        assert sample.query(client, SUMMARY) == REPORT
    assert api.urls == [SUMMARY_URL] + [REGION_URL] * 5
    assert api.sent == ["POST"] + [TOKEN] * 6


def test_the_region_holds_for_other_end_points(sample, api):
    api.token()
    api.redirect(REGION_URL)
    api.report(REGION_URL)
    api.report(f"{REGION}/total-requests")
    client = sample.new()
    sample.query(client, SUMMARY)
    sample.query(client, "total-requests")
    assert api.urls[-1] == f"{REGION}/total-requests"


@pytest.mark.parametrize(
    "page",
    [
        {"status": 200, "body": "<h1>Maintenance</h1>"},
        {"status": 503, "json": {"message": "Maintenance"}},
        {"status": 404, "json": {"message": "Not found"}},
    ],
)
def test_a_redirect_that_led_to_no_report_is_not_remembered(sample, api, page):
    api.token()
    api.redirect(REGION_URL)
    api.report(SUMMARY_URL)
    api.report(REGION_URL, **page)
    client = sample.new()
    with pytest.raises(requests.RequestException):
        sample.query(client, SUMMARY)
    assert sample.query(client, SUMMARY) == REPORT
    assert api.urls[-1] == SUMMARY_URL


def test_a_page_elsewhere_is_not_taken_for_a_region(sample, api):
    api.token()
    api.redirect("https://www.cisco.com/status")
    api.report("https://www.cisco.com/status", json={"status": "maintenance"})
    api.report(SUMMARY_URL)
    client = sample.new()
    sample.query(client, SUMMARY)
    assert sample.query(client, SUMMARY) == REPORT


def test_a_token_that_the_region_rejects_is_replaced(sample, api):
    api.token(TOKEN)
    api.token(SECOND)
    api.redirect(REGION_URL)
    api.report(REGION_URL, status=401)
    api.report(REGION_URL)
    assert sample.query(sample.new(), SUMMARY) == REPORT
    assert api.sent == ["POST", TOKEN, TOKEN, "POST", SECOND, SECOND]


HOSTS_OF_THE_API = [
    "https://api.sse.cisco.com/elsewhere",
    "https://api.sse.cisco.com:443/elsewhere",
    "https://API.Umbrella.COM/elsewhere",
    "https://a.b.cisco.com/elsewhere",
]


@one_sample
def test_the_token_goes_along_to_the_hosts_of_the_api(sample, api):
    api.token()
    client = sample.new()
    for target in HOSTS_OF_THE_API:
        api.redirect(target, status=307)
        api.report(target)
        assert sample.query(client, SUMMARY) == REPORT, target
    assert api.sent[1:] == [TOKEN, TOKEN] * len(HOSTS_OF_THE_API)


ELSEWHERE = [
    "https://evil.example/reports/v2/summary",
    "//evil.example/reports/v2/summary",
    "https:////evil.example/",
    "https://umbrella.com.evil.example/",
    "https://evilumbrella.com/",
    "https://evil.example/.cisco.com/",
    "https://evil.example\\.cisco.com/",
    "https://api.umbrella.com\\@evil.example/",
    "https://api.umbrella.com@evil.example/",
    "https://user:hush@api.umbrella.com/",
    "https://api.sse.cisco.com#@evil.example/",
    "https://api.sse.cisco.com:8443/",
    "https://api.sse.cisco.com:99999/",
    "http://api.sse.cisco.com/reports/v2/",
    "http://API.UMBRELLA.COM/",
    "http://localhost:1/",
    "http://127.0.0.1:1@evil.example/",
    "ftp://api.umbrella.com/",
]


@one_sample
def test_any_other_redirect_is_refused_before_anything_is_sent(sample, api):
    api.token()
    client = sample.new()
    for target in ELSEWHERE:
        api.redirect(target)
        with pytest.raises(requests.RequestException, match="redirected to"):
            sample.query(client, SUMMARY)
    assert set(api.urls) == {SUMMARY_URL}
    assert len(api.urls) == len(ELSEWHERE)


@pytest.mark.parametrize("status", [302, 307])
def test_a_secret_is_never_redirected(sample, api, status):
    target = "https://api.umbrella.com/auth/v2/token"
    api.token_response(status=status, headers={"Location": target})
    with pytest.raises(requests.RequestException, match="which is not followed"):
        sample.query(sample.new(), SUMMARY)
    assert api.sent == ["POST"]


@one_sample
def test_redirects_in_a_circle_come_to_an_end(sample, api):
    api.token()
    api.redirect(SUMMARY_URL)
    with pytest.raises(requests.TooManyRedirects):
        sample.query(sample.new(), SUMMARY)
