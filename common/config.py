"""Settings from environment variables, checked before anything is sent."""

from __future__ import annotations

import os
import re

TOKEN_URL = "https://api.sse.cisco.com/auth/v2/token"
REPORTS_URL = "https://api.sse.cisco.com/reports/v2"
# A host or an IPv6 address, perhaps a port, perhaps a path: no password, no query.
HTTPS_URL = re.compile(r"https://([\w.-]+|\[[0-9a-f:]+\])(:[0-9]+)?(/[^@?# ]*)?")
LOOPBACK_URL = re.compile(r"http://(127\.0\.0\.1|localhost):[0-9]+/[^@?# ]*")


class SettingsError(ValueError):
    """The settings cannot work; the text names every problem, and shows no value."""


def load_settings() -> dict[str, str]:
    """Return the keyword arguments of both clients, from the environment.

    They are token_url, client_id, client_secret, reports_url and org_id. An empty
    variable counts as unset. Raises SettingsError.
    """
    problems = []

    def read(name: str, default: str = "") -> str:
        # A value that was read from a file may end in a newline.
        value = os.environ.get(name, "").strip() or default
        problem = find_problem(name, value)
        if problem:
            problems.append(f"{name} {problem}")
        return value

    settings = {
        "token_url": read("TOKEN_URL", TOKEN_URL),
        "client_id": read("API_KEY"),
        "client_secret": read("API_SECRET"),
        "reports_url": read("REPORTS_URL", REPORTS_URL),
        "org_id": os.environ.get("ORG_ID", "").strip(),
    }
    if not re.fullmatch("[0-9]*", settings["org_id"]):
        problems.append("ORG_ID is not a number")
    if problems:
        raise SettingsError(
            f"Settings: {'; '.join(problems)}. "
            "To try it without an account, see Quick start in README.md."
        )
    return settings


def find_problem(name: str, value: str) -> str:
    """Return what is wrong with a value, or an empty text."""
    if not value:
        return "is not set, or set without export"
    if re.fullmatch(r"<.*>|your (key|secret)|'.*'|\".*\"", value):
        return "is a placeholder, or has quotation marks around it"
    if not re.fullmatch("[ -~]+", value):
        return "has a character other than printable ASCII"
    if name.endswith("_URL") and not is_secure_url(value):
        return "is not of the form https://HOST/PATH"
    return ""


def is_secure_url(url: str) -> bool:
    """Return whether a secret may go there: by https, or within this machine."""
    # Plain http is for tests: oauthlib too refuses it without this variable.
    if os.environ.get("OAUTHLIB_INSECURE_TRANSPORT") and LOOPBACK_URL.fullmatch(url):
        return True
    return bool(HTTPS_URL.fullmatch(url))
