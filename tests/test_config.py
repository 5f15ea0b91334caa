"""Settings: what is read, and every problem at once and by name."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from common.config import REPORTS_URL, TOKEN_URL, Settings, SettingsError, load_settings

GOOD = {"API_KEY": "key", "API_SECRET": "secret"}


def problems(**changes: str) -> str:
    with pytest.raises(SettingsError) as error:
        load_settings({**GOOD, **changes})
    return str(error.value)


def test_defaults_are_the_published_urls() -> None:
    assert load_settings(GOOD) == Settings(
        "key", "secret", "https://api.sse.cisco.com/auth/v2/token", "https://api.sse.cisco.com/reports/v2", None
    )


def test_every_variable_is_read() -> None:
    environ = {**GOOD, "TOKEN_URL": "https://t.example/x", "REPORTS_URL": "https://r.example:8443/y", "ORG_ID": "77"}
    assert load_settings(environ) == Settings("key", "secret", "https://t.example/x", "https://r.example:8443/y", "77")


def test_the_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "late key")
    monkeypatch.setenv("API_SECRET", "late secret")
    assert load_settings().api_key == "late key"


def test_white_space_around_a_value_and_a_slash_after_a_base_are_dropped() -> None:
    settings = load_settings({"API_KEY": " key\n", "API_SECRET": "secret\r\n", "REPORTS_URL": "https://r.example/v2/"})
    assert (settings.api_key, settings.api_secret, settings.reports_url) == ("key", "secret", "https://r.example/v2")


def test_empty_means_unset() -> None:
    settings = load_settings({**GOOD, "TOKEN_URL": "", "REPORTS_URL": " ", "ORG_ID": ""})
    assert (settings.token_url, settings.reports_url, settings.org_id) == (TOKEN_URL, REPORTS_URL, None)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({"TOKEN_URL": "token", "REPORTS_URL": "http://r.example", "ORG_ID": "1\n2"})
    assert str(error.value) == (
        "API_KEY is not set; API_SECRET is not set; TOKEN_URL is not a URL such as https://HOST/PATH; "
        "REPORTS_URL must start with https: the secret and the token would travel in clear; "
        "ORG_ID has a character that no header can carry"
    )


@pytest.mark.parametrize("name", ["API_KEY", "API_SECRET", "TOKEN_URL", "ORG_ID"])
def test_placeholder(name: str) -> None:
    assert problems(**{name: "<your value>"}) == f"{name} is still a placeholder"


@pytest.mark.parametrize("value", ["<", "a>b"])
def test_half_a_placeholder_is_a_value(value: str) -> None:
    assert load_settings({**GOOD, "API_SECRET": value}).api_secret == value


@pytest.mark.parametrize("value", ["“quoted”", "a\tb", "a\nb", "a\x00b", "schlüssel"])
@pytest.mark.parametrize("name", ["API_KEY", "API_SECRET", "TOKEN_URL", "REPORTS_URL", "ORG_ID"])
def test_characters_that_no_header_can_carry(name: str, value: str) -> None:
    text = problems(**{name: value})
    assert text == f"{name} has a character that no header can carry"


def test_key_and_secret_in_one_variable() -> None:
    assert problems(API_KEY="key:secret") == "API_KEY has a colon: give the key alone, and the secret in API_SECRET"
    assert load_settings({**GOOD, "API_SECRET": "a:b"}).api_secret == "a:b"


@pytest.mark.parametrize("name", ["TOKEN_URL", "REPORTS_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "api.sse.cisco.com/reports/v2",
        "https://",
        "https://:443/x",
        "https://host:port/x",
        "https://host:0/x",
        "https://host:99999/x",
        "https://[::1/x",
        "https://a host/x",
        "https://host/x?from=now",
        "https://host/x#part",
        "ftp://host/x",
    ],
)
def test_malformed_urls(name: str, value: str) -> None:
    assert problems(**{name: value}) == f"{name} is not a URL such as https://HOST/PATH"


@pytest.mark.parametrize("value", ["https://user:password@host/x", "https://user@host/x"])
def test_credentials_do_not_belong_in_a_url(value: str) -> None:
    assert problems(REPORTS_URL=value) == "REPORTS_URL must not contain a user name or password"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.1.2.3", "localhost", "[::1]:8080"])
def test_plain_http_to_this_machine(host: str) -> None:
    assert load_settings({**GOOD, "TOKEN_URL": f"http://{host}/token"}).token_url == f"http://{host}/token"


@pytest.mark.parametrize("host", ["api.sse.cisco.com", "10.0.0.1", "localhost.example", "127.0.0.1.example", "[::2]"])
def test_plain_http_to_any_other_machine(host: str) -> None:
    assert problems(TOKEN_URL=f"http://{host}/token").startswith("TOKEN_URL must start with https")


def test_settings_stay_as_they_were_checked() -> None:
    with pytest.raises(FrozenInstanceError):
        load_settings(GOOD).token_url = "http://elsewhere.example"  # type: ignore[misc]


def test_the_secret_is_in_no_text() -> None:
    settings = load_settings({**GOOD, "API_SECRET": "hush-hush"})
    assert "hush-hush" not in repr(settings) + str(settings)
    assert "hush\nhush" not in problems(API_SECRET="hush\nhush")
