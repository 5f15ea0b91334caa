"""Settings: what is read from the environment, and every problem by name."""

import pytest
from helpers import KEY, SECRET

from common.config import REPORTS_URL, TOKEN_URL, SettingsError, load_settings

NO_URL = "is not of the form https://HOST/PATH"
PLACEHOLDER = "is a placeholder, or has quotation marks around it"
BAD_CHARACTER = "has a character other than printable ASCII"
NO_NUMBER = "is not a number"
DEFAULTS = {
    "token_url": TOKEN_URL,
    "client_id": KEY,
    "client_secret": SECRET,
    "reports_url": REPORTS_URL,
    "org_id": "",
}
BAD_URLS = [
    "api.sse.cisco.com/reports/v2",
    "https://",
    "https://host:port/reports",
    "ftp://localhost:21/reports",
    "https://host/two words",
    "https://host]/reports",
    "https://host/?",
    "https://host/#part",
    "https://user:password@host/reports",
    "https://:password@host/reports",
    # Plain http is not for other hosts.
    "http://api.sse.cisco.com/reports",
    "http://127.0.0.1:1.example/",
]


def check_problem(monkeypatch, name, value, problem):
    """Check what is said of the one variable that is wrong."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value).startswith(f"Settings: {name} {problem}. "), value


def test_variables_become_the_arguments_of_a_client(sample, monkeypatch):
    monkeypatch.setenv("TOKEN_URL", "https://[::1]:8443/v2")
    monkeypatch.setenv("REPORTS_URL", "https://reports.example")
    monkeypatch.setenv("ORG_ID", "77")
    client = sample.client(**load_settings())
    assert client.token_url == "https://[::1]:8443/v2"
    assert client.reports_url == "https://reports.example"
    assert client.token_headers == {"X-Umbrella-OrgId": "77"}


def test_an_empty_variable_counts_as_unset_and_a_newline_is_dropped(monkeypatch):
    monkeypatch.setenv("TOKEN_URL", "")
    monkeypatch.setenv("REPORTS_URL", " ")
    monkeypatch.setenv("ORG_ID", "")
    monkeypatch.setenv("API_SECRET", SECRET + "\r\n")
    assert load_settings() == DEFAULTS


def test_every_problem_is_named_at_once(monkeypatch):
    monkeypatch.delenv("API_KEY")
    monkeypatch.setenv("API_SECRET", "")
    monkeypatch.setenv("TOKEN_URL", "tokens")
    monkeypatch.setenv("REPORTS_URL", "http://reports")
    monkeypatch.setenv("ORG_ID", "7.0")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert str(error.value) == (
        f"Settings: TOKEN_URL {NO_URL}; API_KEY is not set, or set without export; "
        "API_SECRET is not set, or set without export; "
        f"REPORTS_URL {NO_URL}; ORG_ID {NO_NUMBER}. "
        "To try it without an account, see Quick start in README.md."
    )


WRONG = [
    ("API_SECRET", ["<...>", "your secret", "'a-secret'", '"a-secret"'], PLACEHOLDER),
    ("API_KEY", ["a\tb", "schlüssel"], BAD_CHARACTER),
    ("ORG_ID", ["1234567.0", "nan", "1,234,567", "-1", "7²"], NO_NUMBER),
    ("REPORTS_URL", BAD_URLS, NO_URL),
]


@pytest.mark.parametrize(("name", "values", "problem"), WRONG)
def test_a_value_that_cannot_work(monkeypatch, name, values, problem):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    for value in values:
        check_problem(monkeypatch, name, value, problem)


def test_plain_http_within_this_machine_needs_the_variable_of_oauthlib(monkeypatch):
    for url in ("http://127.0.0.1:8080/token", "http://localhost:8080/token"):
        monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT", raising=False)
        check_problem(monkeypatch, "TOKEN_URL", url, NO_URL)
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
        assert load_settings()["token_url"] == url
