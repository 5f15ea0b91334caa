"""One line for the user, for any exception of requests: the cause, and what to do."""

from __future__ import annotations

import base64
import re
from typing import Any

import requests
from requests.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    ProxyError,
    SSLError,
)

from .responses import CHECK_URLS, UnusableResponse, is_web_page, token_rejected

SHORTEN = "Shorten the end point: filter by fewer values in one request."

# What to do, by the status of a response to a request for a token, or for a report.
TOKEN_REMEDIES = {
    401: "Check API_KEY and API_SECRET; the key may also have expired, "
    "or be restricted to other networks.",
    403: "The API key may have expired, or be restricted to other networks: "
    "see its settings in Secure Access.",
    429: "An API key is allowed 20 token requests a minute: wait, then try again.",
}
REPORT_REMEDIES = {
    400: 'Check the parameters: "from" and "to" are -7days, now, or milliseconds since '
    "the epoch, and lists need a limit. In a shell, quote the whole end point.",
    401: "A new token was rejected too: "
    "check that TOKEN_URL and REPORTS_URL belong together.",
    403: "The API key lacks the scope of this report, or has expired: "
    "in Secure Access, select all of Reports, read-only.",
    404: "Check the spelling of the end point, and REPORTS_URL.",
    413: SHORTEN,
    414: SHORTEN,
    429: "An organization is allowed about 5 reports a second: wait, then try again.",
    431: SHORTEN,
}


def explain(error: requests.RequestException) -> str:
    """Return the line for a failed request to this API: what, where, why, what to do.

    It holds neither the secret nor the token of the request.
    """
    what = "Could not get a token or a report"
    reason = reason_of(error)
    request: Any = error.request
    if request is not None:
        requested = "token" if request.method == "POST" else "report"
        what = f"Could not get a {requested} from {request.url}"
        # A server may repeat what it was sent.
        what = hide_credentials(what, request)
        reason = hide_credentials(reason, request)
    return f"{one_line(what)}: {one_line(reason)}. {remedy_for(error)}"


def reason_of(error: requests.RequestException) -> str:
    """Return why it failed, in the words of the server or of the system."""
    response = error.response
    if response is None:
        return f"{type(error).__name__} ({system_words(error)})"
    words = str(error)
    if isinstance(error, requests.HTTPError):
        words = server_words(response)
    return f"{response.status_code} {response.reason} ({words})"


def server_words(response: requests.Response) -> str:
    """Return what the server says of an error."""
    if is_web_page(response):
        return "a web page"
    words = response.content.decode(errors="replace").strip()
    return words or "no explanation"


def remedy_for(error: requests.RequestException) -> str:
    """Return what to do."""
    if isinstance(error, UnusableResponse):
        return error.remedy
    if error.response is None:
        return remedy_without_response(error)
    return remedy_for_status(error.response)


def remedy_for_status(response: requests.Response) -> str:
    """Return what to do about a response with an error status."""
    status = response.status_code
    if status >= 500:
        return "The service has a problem: try again later."
    if is_web_page(response):
        # Perhaps it comes from a proxy or a gateway, which knows nothing of the key.
        return CHECK_URLS
    if response.request.method == "POST":
        return TOKEN_REMEDIES.get(status, CHECK_URLS)
    if token_rejected(response):
        return REPORT_REMEDIES[401]
    return REPORT_REMEDIES.get(status, CHECK_URLS)


def remedy_without_response(error: requests.RequestException) -> str:
    """Return what to do if there is no usable response."""
    if isinstance(error, ProxyError):
        return (
            "Check HTTPS_PROXY, its user name and password, "
            "or ask the proxy's administrators."
        )
    if isinstance(error, SSLError):
        return (
            "Check the URL, the certificates in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, "
            "and this machine's clock; see Troubleshooting in README.md."
        )
    # Silence within a body is a ConnectionError, but in the same words.
    silent = "Read timed out" in str(error)
    if silent or isinstance(error, (ChunkedEncodingError, ContentDecodingError)):
        return "Try again; for a report, use a shorter period or a smaller limit."
    if isinstance(error, requests.ConnectionError):
        return "Check the network, the URL, and whether HTTPS_PROXY must be set."
    return (
        "Check the URL, and HTTPS_PROXY, which is of the form http://HOST:PORT; "
        "see Troubleshooting in common/README.md."
    )


def hide_credentials(text: str, request: Any) -> str:
    """Return text without the token, or the key and secret, of a request."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    hidden = [credentials]
    if scheme == "Basic":
        # Both halves, since a key and a secret may have been swapped.
        hidden += base64.b64decode(credentials).decode("latin-1").split(":", 1)
    for credential in sorted(hidden, key=len, reverse=True):
        # A shorter one is a test value, and may occur inside ordinary words.
        if len(credential) >= 8:
            text = text.replace(credential, "...")
    return text


def root_cause(error: BaseException) -> BaseException:
    """Return the exception that requests and urllib3 wrap in theirs.

    requests passes it as an argument, urllib3 raises "from" it.
    """
    for inner in (*error.args, error.__cause__):
        if isinstance(inner, Exception):
            return root_cause(inner)
    return error


def system_words(error: BaseException) -> str:
    """Return the words of the system, such as "Connection refused"."""
    cause = root_cause(error)
    # Without numbers and places, such as "[Errno 111] ", "[SSL] " and "(_ssl.c:1018)".
    words = re.sub(r"^\[.*?\] |\(?_ssl\.c:[0-9]+\)?:?", "", str(cause))
    return words.strip() or type(cause).__name__


def one_line(text: str) -> str:
    """Return text fit for a terminal: printable, short, no password in a URL."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    without_password = re.sub(r"//[^/\s]*@", "//", printable)
    return " ".join(without_password.split())[:400]
