"""Settings: what is read, and every problem at once and by name."""

import pytest
from helpers import KEY, SECRET

from common.api import ApiError
from common.config import SettingsError, load_settings

TOKEN_URL, REPORTS_URL = "https://api.sse.cisco.com/auth/v2/token", "https://api.sse.cisco.com/reports/v2"
NO_URL = "is not of the form https://HOST/PATH"
PLACEHOLDER = "is a placeholder, or has quotation marks around it"
BAD_CHARACTER = "has a character that is not allowed in a header"


def settings(monkeypatch, variables):
    for name, value in {"API_KEY": KEY, "API_SECRET": SECRET, **variables}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.mark.parametrize(
    ("variables", "values"),
    [
        ({}, [TOKEN_URL, KEY, SECRET, REPORTS_URL, ""]),
        ({"TOKEN_URL": "", "REPORTS_URL": " ", "ORG_ID": ""}, [TOKEN_URL, KEY, SECRET, REPORTS_URL, ""]),
        (
            {"API_SECRET": "a:b\r\n", "REPORTS_URL": "https://r", "ORG_ID": "77 "},
            [TOKEN_URL, KEY, "a:b", "https://r", "77"],
        ),
    ],
)
def test_variables_become_the_arguments_of_a_client(monkeypatch, variables, values):
    found = settings(monkeypatch, variables)
    assert list(found) == ["token_url", "client_id", "client_secret", "reports_url", "org_id"]
    assert list(found.values()) == values


def test_every_problem_is_named_at_once(monkeypatch):
    with pytest.raises(SettingsError) as error:
        settings(
            monkeypatch, {"API_KEY": "", "API_SECRET": "", "TOKEN_URL": "x", "REPORTS_URL": "http://r", "ORG_ID": "€"}
        )
    assert str(error.value) == (
        "Settings: API_KEY is not set, or set without export; API_SECRET is not set, or set without export; "
        f"TOKEN_URL {NO_URL}; REPORTS_URL {NO_URL}; ORG_ID {BAD_CHARACTER}. "
        "To try it without an account, see Quick start in README.md."
    )


BAD_URLS = [
    "api.sse.cisco.com/v2",
    "https://",
    "https://host:port/x",
    "ftp://host/x",
    "https://host/a b",
    "https://h/?",
]
BAD_URLS += ["https://h/#part", "https://user:hush@host/x", "http://api.sse.cisco.com", "http://127.0.0.1:1.example/"]


@pytest.mark.parametrize(
    ("name", "problem", "values"),
    [
        ("API_SECRET", PLACEHOLDER, ["<...>", "your secret", "'a-secret'", '"a-secret"']),
        ("API_KEY", BAD_CHARACTER, ["“key”", "a\tb"]),
        ("REPORTS_URL", NO_URL, BAD_URLS),
    ],
)
def test_a_problem_is_named_without_the_value(monkeypatch, name, problem, values):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    for value in values:
        with pytest.raises(SettingsError, match=f"^Settings: {name} {problem}. To try"):
            settings(monkeypatch, {name: value})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/token", "http://localhost:8080/token"])
def test_plain_http_is_for_this_machine_and_needs_the_variable_of_oauthlib(monkeypatch, url):
    with pytest.raises(SettingsError, match=NO_URL):
        settings(monkeypatch, {"TOKEN_URL": url})
    assert settings(monkeypatch, {"TOKEN_URL": url, "OAUTHLIB_INSECURE_TRANSPORT": "1"})["token_url"] == url


@pytest.mark.parametrize("argument", [{"reports_url": "host/reports"}, {"secret": "a€b"}, {"key": None}])
def test_a_wrong_argument_of_a_client_is_an_api_error(sample, argument):
    with pytest.raises(ApiError, match=r"^Settings: "):
        sample.new(**argument)
