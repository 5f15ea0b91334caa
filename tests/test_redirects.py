"""Redirects: the token goes to the hosts of the API alone, the secret nowhere else."""

import pytest
import requests
from helpers import REPORT, SUMMARY, SUMMARY_URL, TOKEN, one_sample

from common.session import with_retries

REGION_URL = f"https://api.umbrella.com/reports.eu/v2/{SUMMARY}"


def test_each_report_is_redirected_to_another_region(query, api):
    api.redirect(REGION_URL)
    api.report(REGION_URL)
    assert query(SUMMARY) == REPORT
    assert query(SUMMARY) == REPORT
    assert api.urls == [SUMMARY_URL, REGION_URL] * 2
    assert api.sent == ["POST"] + [TOKEN] * 4


HOSTS_OF_THE_API = [
    "https://api.sse.cisco.com/elsewhere",
    "https://api.sse.cisco.com:443/elsewhere",
    "https://API.Umbrella.COM/elsewhere",
    "https://api.eu.reports.umbrella.com/elsewhere",
]


@one_sample
def test_the_token_goes_along_to_the_hosts_of_the_api(query, api):
    for target in HOSTS_OF_THE_API:
        api.redirect(target)
        api.report(target)
        assert query(SUMMARY) == REPORT, target
    assert api.sent[1:] == [TOKEN, TOKEN] * len(HOSTS_OF_THE_API)


@one_sample
def test_the_token_goes_along_within_one_origin(client, query, api):
    origin = "https://reports.example:8443"
    client.reports_url = f"{origin}/v2"
    api.redirect(f"{origin}/elsewhere", f"{origin}/v2/{SUMMARY}")
    api.report(f"{origin}/elsewhere")
    assert query(SUMMARY) == REPORT


ELSEWHERE = [
    "https://evil.example/reports/v2/summary",
    "//evil.example/reports/v2/summary",
    "https://cisco.com/",
    "https://www.cisco.com/",
    "https://api.c\xc4\xb1sco.com/",
    "https://api.umbrella.com.evil.example/",
    "https://api.evilumbrella.com/",
    "https://api.umbrella/com/",
    "https://evil.example/api.cisco.com/",
    "https://evil.example/https://api.sse.cisco.com/",
    "https://evil.example\\.cisco.com/",
    "https://api.umbrella.com\\@evil.example/",
    "https://api.umbrella.com@evil.example/",
    "https://user:hush@api.umbrella.com/",
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
        with pytest.raises(requests.RequestException, match="which is not followed"):
            query(SUMMARY)
    assert api.urls == [SUMMARY_URL] * len(ELSEWHERE)


def test_a_redirect_may_change_the_name_of_this_machine_but_not_the_port(api):
    start = "http://127.0.0.1:8080/a"
    api.report("http://localhost:8080/b")
    for target in ("http://localhost:8080/b", "http://localhost:9090/b"):
        api.redirect(target, start)
    session = with_retries(requests.Session())
    assert session.get(start).json() == REPORT
    with pytest.raises(requests.RequestException, match="which is not followed"):
        session.get(start)


@one_sample
def test_five_redirects_are_followed_and_no_more(query, api):
    api.redirect(SUMMARY_URL)
    with pytest.raises(requests.TooManyRedirects):
        query(SUMMARY)
    assert len(api.urls) == 6


def test_plain_http_is_for_this_machine_alone():
    with pytest.raises(requests.exceptions.InvalidSchema):
        with_retries(requests.Session()).get("http://api.sse.cisco.com/")


def test_a_secret_is_never_redirected(query, api_without_token):
    target = {"Location": "https://api.umbrella.com/auth/v2/token"}
    api_without_token.token_response(status=307, headers=target)
    with pytest.raises(requests.RequestException, match="which is not followed"):
        query(SUMMARY)
    assert api_without_token.sent == ["POST"]
