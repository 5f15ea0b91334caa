"""Settings from environment variables, checked before anything is sent."""

from __future__ import annotations

import os
import re
from typing import Any

from .api import ApiError

TOKEN_URL = "https://api.sse.cisco.com/auth/v2/token"
REPORTS_URL = "https://api.sse.cisco.com/reports/v2"
URL = re.compile(r"https://([a-z0-9-]+\.)*[a-z0-9-]+(:[0-9]+)?(/[^@?# ]*)?", re.I)
# With OAUTHLIB_INSECURE_TRANSPORT, oauthlib takes any plain http: here it is for this machine alone.
LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost):[0-9]+/[^@?# ]*")


class SettingsError(ApiError):
    """The settings cannot work. The text is one line that names every problem, and shows no value."""


def load_settings() -> dict[str, Any]:
    """Return the keyword arguments of both clients, from API_KEY, API_SECRET, TOKEN_URL, REPORTS_URL and ORG_ID.

    An empty variable counts as unset. Raises SettingsError.
    """
    variables = {name: value.strip() for name, value in os.environ.items()}  # one read from a file may end in a newline
    settings: dict[str, Any] = {
        "token_url": variables.get("TOKEN_URL") or TOKEN_URL,
        "client_id": variables.get("API_KEY", ""),
        "client_secret": variables.get("API_SECRET", ""),
        "reports_url": variables.get("REPORTS_URL") or REPORTS_URL,
        "org_id": variables.get("ORG_ID", ""),
    }
    check_settings(**settings)
    return settings


def check_settings(token_url: str, client_id: str, client_secret: str, reports_url: str, org_id: str | int) -> None:
    """Raise SettingsError unless a client can work with these, which the text calls by their environment variables."""
    values = {"API_KEY": client_id, "API_SECRET": client_secret, "TOKEN_URL": token_url, "REPORTS_URL": reports_url}
    if org_id:
        values["ORG_ID"] = str(org_id)
    found = {name: _problem(name, value) for name, value in values.items()}
    problems = "; ".join(f"{name} {problem}" for name, problem in found.items() if problem)
    if problems:
        raise SettingsError(f"Settings: {problems}. To try it without an account, see Quick start in README.md.")


def _problem(name: str, value: str) -> str:
    if not value:
        return "is not set, or set without export"
    if re.fullmatch(r"""(['"]).*\1|<.*>|your (key|secret)""", value):
        return "is a placeholder, or has quotation marks around it"
    if not re.fullmatch("[!-~][ -~]*", value):
        return "has a character that is not allowed in a header"
    insecure = os.environ.get("OAUTHLIB_INSECURE_TRANSPORT") and LOOPBACK.fullmatch(value)
    if name.endswith("_URL") and not (URL.fullmatch(value) or insecure):
        return "is not of the form https://HOST/PATH"
    return ""
