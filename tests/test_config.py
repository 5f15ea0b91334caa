"""Settings: what is read, and every problem at once and by name."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from common.config import Settings, SettingsError, load_settings

GOOD = {"API_KEY": "key", "API_SECRET": "secret"}
BAD_CHARACTER = "has a character that is not allowed in a header"
NO_URL = "is not a URL such as https://HOST/PATH"
PLAIN_HTTP = "must start with https: otherwise the secret and the token are not encrypted"


@pytest.mark.parametrize("unset", [{}, {"TOKEN_URL": "", "REPORTS_URL": " ", "ORG_ID": ""}])
def test_defaults_are_the_published_urls(monkeypatch: pytest.MonkeyPatch, unset: dict[str, str]) -> None:
    for name, value in {**GOOD, **unset}.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == Settings(
        "key", "secret", "https://api.sse.cisco.com/auth/v2/token", "https://api.sse.cisco.com/reports/v2", None
    )


def test_every_variable_is_read_without_white_space_around_it() -> None:
    environ = {"API_KEY": " key\n", "API_SECRET": "se:cret\r\n", "TOKEN_URL": "https://t.example/x", "ORG_ID": "77 "}
    assert load_settings({**environ, "REPORTS_URL": "https://r.example:8443/v2/"}) == Settings(
        "key", "se:cret", "https://t.example/x", "https://r.example:8443/v2", "77"
    )


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({"TOKEN_URL": "token", "REPORTS_URL": "http://r.example", "ORG_ID": "1\n2"})
    assert str(error.value) == (
        "API_KEY is not set; API_SECRET is not set; "
        f"TOKEN_URL {NO_URL}; REPORTS_URL {PLAIN_HTTP}; ORG_ID {BAD_CHARACTER}"
    )


@pytest.mark.parametrize(
    ("problem", "name", "values"),
    [
        ("is still a placeholder", "API_SECRET", ["<your value>", "your key", "'your secret'", '"your key"']),
        ("is still a placeholder", "ORG_ID", ["<id>"]),
        (BAD_CHARACTER, "API_KEY", ["“key”"]),
        (BAD_CHARACTER, "API_SECRET", ["a\tb"]),
        (BAD_CHARACTER, "TOKEN_URL", ["clé"]),
        ("has a colon: set the key alone, and the secret in API_SECRET", "API_KEY", ["key:secret"]),
        (NO_URL, "TOKEN_URL", ["api.sse.cisco.com/reports/v2", "https://", "https://:443/x", "https://[::1/x"]),
        (NO_URL, "TOKEN_URL", ["https://host:port/x", "https://host:0/x", "https://host:99999/x", "https://*.example"]),
        (NO_URL, "REPORTS_URL", ["https://host/a b", "https://host/x?from=now", "https://host/x#part", "ftp://host/x"]),
        ("must not contain a user name or password", "REPORTS_URL", ["https://user:hush@host/x", "https://user@host"]),
        (PLAIN_HTTP, "REPORTS_URL", ["http://api.sse.cisco.com", "http://10.0.0.1", "http://[::2]"]),
        (PLAIN_HTTP, "TOKEN_URL", ["http://localhost.example", "http://127.0.0.1.example"]),
    ],
)
def test_a_problem_is_named_without_the_value(problem: str, name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(SettingsError) as error:
            load_settings({**GOOD, name: value})
        assert str(error.value) == f"{name} {problem}"


@pytest.mark.parametrize("value", ["<", "a>b", "your key!"])
def test_half_a_placeholder_is_a_value(value: str) -> None:
    assert load_settings({**GOOD, "API_SECRET": value}).api_secret == value


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.1.2.3", "localhost", "[::1]:8080"])
def test_plain_http_to_this_machine(host: str) -> None:
    assert load_settings({**GOOD, "TOKEN_URL": f"http://{host}/token"}).token_url == f"http://{host}/token"


def test_settings_stay_as_they_were_checked_and_hide_the_secret() -> None:
    settings = load_settings({**GOOD, "API_SECRET": "hush-hush"})
    with pytest.raises(FrozenInstanceError):
        settings.token_url = "http://elsewhere.example"  # type: ignore[misc]
    assert "hush-hush" not in repr(settings) + str(settings)
