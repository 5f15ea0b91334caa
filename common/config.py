"""Settings from environment variables, checked before anything is sent."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from typing import Mapping
from urllib.parse import urlsplit

import requests

TOKEN_URL = "https://api.sse.cisco.com/auth/v2/token"
REPORTS_URL = "https://api.sse.cisco.com/reports/v2"


class SettingsError(Exception):
    """The settings cannot work. The text is one line that names every problem, and no value."""


@dataclass(frozen=True)
class Settings:
    """What a client needs to know; the secret is not in its `repr`."""

    api_key: str
    api_secret: str = field(repr=False)
    token_url: str = TOKEN_URL
    reports_url: str = REPORTS_URL
    org_id: str | None = None


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read API_KEY, API_SECRET, TOKEN_URL, REPORTS_URL and ORG_ID; empty means unset.

    Raises SettingsError, with all that is wrong, unless every value can be used.
    """
    defaults = {"API_KEY": "", "API_SECRET": "", "TOKEN_URL": TOKEN_URL, "REPORTS_URL": REPORTS_URL, "ORG_ID": ""}
    # A value read from a file often ends in a newline.
    values = {name: environ.get(name, "").strip() or default for name, default in defaults.items()}
    found = {name: _problem(name, value) for name, value in values.items()}
    problems = [f"{name} {problem}" for name, problem in found.items() if problem]
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(
        api_key=values["API_KEY"],
        api_secret=values["API_SECRET"],
        token_url=values["TOKEN_URL"],
        reports_url=values["REPORTS_URL"].rstrip("/"),
        org_id=values["ORG_ID"] or None,
    )


def _problem(name: str, value: str) -> str | None:
    if not value:
        return None if name == "ORG_ID" else "is not set"
    if value.strip("'\"") in ("your key", "your secret") or ("<" in value and ">" in value):
        return "is still a placeholder"
    if not (value.isascii() and value.isprintable()):
        return "has a character that is not allowed in a header"
    if name == "API_KEY" and ":" in value:  # RFC 7617: the colon ends the user-id
        return "has a colon: set the key alone, and the secret in API_SECRET"
    return _url_problem(value) if name.endswith("_URL") else None


def _url_problem(value: str) -> str | None:
    try:
        requests.Request("GET", value).prepare()  # as it will be sent
        url = urlsplit(value)
        valid = url.scheme in ("http", "https") and url.port != 0 and not (" " in value or url.query or url.fragment)
    except ValueError:  # also those of requests
        valid = False
    if not valid:
        return "is not a URL such as https://HOST/PATH"
    if url.username is not None:
        return "must not contain a user name or password"
    if url.scheme == "http" and not _is_loopback(url.hostname or ""):
        return "must start with https: otherwise the secret and the token are not encrypted"
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
