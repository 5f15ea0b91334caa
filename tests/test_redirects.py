"""Redirects: the token goes to the hosts of the API alone, the secret nowhere else."""

import pytest
import requests
from helpers import REPORT, SUMMARY, SUMMARY_URL, TOKEN, one_sample

from common.config import REPORTS_URL
from common.session import with_retries

REGION = "https://api.umbrella.com/reports.eu/v2"
REGION_URL = f"{REGION}/{SUMMARY}"


def test_the_detour_to_another_region_is_paid_once(query, api):
    other_url = f"{REGION}/total-requests"
    api.redirect(REGION_URL)
    api.report(REGION_URL)
    api.report(other_url)
    assert query(SUMMARY) == REPORT
    assert query(SUMMARY) == REPORT
    assert query("total-requests") == REPORT
    assert api.urls == [SUMMARY_URL, REGION_URL, REGION_URL, other_url]
    assert api.sent == ["POST"] + [TOKEN] * 4


def test_the_detour_is_paid_once_for_any_spelling_of_the_urls(sample, api):
    sent = "activity?domains=a%20b%232"
    api.redirect(f"{REGION}/{sent}", f"{REPORTS_URL}/{sent}")
    api.report(f"{REGION}/{sent}")
    client = sample.new(reports_url=f"{REPORTS_URL}//")
    sample.query(client, "/activity?domains=a b#2")
    sample.query(client, "/activity?domains=a b#2")
    assert len(api.urls) == 3


def test_a_redirect_that_led_to_no_report_is_not_remembered(query, api):
    api.redirect(REGION_URL)
    for page in ({"body": "<h1>Maintenance</h1>"}, {"status": 503}, {"status": 404}):
        api.report(REGION_URL, **page)
        with pytest.raises(requests.RequestException):
            query(SUMMARY)
    assert api.urls.count(SUMMARY_URL) == 3


def test_a_page_elsewhere_is_not_taken_for_a_region(query, api):
    api.redirect("https://www.cisco.com/status")
    api.report("https://www.cisco.com/status", json={"status": "maintenance"})
    api.report(SUMMARY_URL)
    query(SUMMARY)
    assert query(SUMMARY) == REPORT


HOSTS_OF_THE_API = [
    "https://api.sse.cisco.com/elsewhere",
    "https://api.sse.cisco.com:443/elsewhere",
    "https://API.Umbrella.COM/elsewhere",
    "https://a.b.cisco.com/elsewhere",
]


@one_sample
def test_the_token_goes_along_to_the_hosts_of_the_api(query, api):
    for target in HOSTS_OF_THE_API:
        api.redirect(target)
        api.report(target)
        assert query(SUMMARY) == REPORT, target
    assert api.sent[1:] == [TOKEN, TOKEN] * len(HOSTS_OF_THE_API)


@one_sample
def test_the_token_goes_along_within_one_origin(sample, api):
    origin = "https://reports.example:8443"
    api.redirect(f"{origin}/elsewhere", f"{origin}/v2/{SUMMARY}")
    api.report(f"{origin}/elsewhere")
    client = sample.new(reports_url=f"{origin}/v2")
    assert sample.query(client, SUMMARY) == REPORT


ELSEWHERE = [
    "https://evil.example/reports/v2/summary",
    "//evil.example/reports/v2/summary",
    "https:////evil.example/",
    "https://umbrella.com.evil.example/",
    "https://evilumbrella.com/",
    "https://evil.example/.cisco.com/",
    "https://evil.example/https://api.sse.cisco.com/",
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
def test_any_other_redirect_is_refused_before_anything_is_sent(query, api):
    for target in ELSEWHERE:
        api.redirect(target)
        with pytest.raises(requests.RequestException, match="redirected to"):
            query(SUMMARY)
    assert set(api.urls) == {SUMMARY_URL}
    assert len(api.urls) == len(ELSEWHERE)


def test_a_server_on_this_machine_does_not_lead_elsewhere(api):
    api.redirect("https://evil.example/", "http://127.0.0.1:1/")
    with pytest.raises(requests.RequestException, match="which is not followed"):
        with_retries(requests.Session()).get("http://127.0.0.1:1/")


def test_plain_http_is_for_this_machine_alone():
    with pytest.raises(requests.exceptions.InvalidSchema):
        with_retries(requests.Session()).get("http://api.sse.cisco.com/")


def test_a_secret_is_never_redirected(query, api_without_token):
    target = "https://api.umbrella.com/auth/v2/token"
    for status in (302, 307):
        api_without_token.token_response(status=status, headers={"Location": target})
        with pytest.raises(requests.RequestException, match="which is not followed"):
            query(SUMMARY)
    assert api_without_token.sent == ["POST", "POST"]
