"""Failures in words: what could not be obtained, why, and what to do about it, on one line."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
from http.client import HTTPException
from http.client import responses as REASONS
from typing import Any, Iterator, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, InvalidSchema, InvalidURL, ProxyError

# The longest text quoted from a server; and from this machine, whose messages may hold a long path.
QUOTE_MAX = 200
DETAIL_MAX = 2000

# Tokens and secrets that this process has sent. They are never shown, whoever repeats them.
sent_secrets: set[str] = set()


class ApiError(requests.RequestException):
    """A token or a report could not be obtained. The text is one line for the user; it holds no secret and no token."""


class TokenRejected(ApiError):
    """The server rejects an access token that should be valid."""


# What is asked for, by the method of the request.
ASKED_FOR = {"POST": "token", "GET": "report"}

# Remedies: what the user can do.
CHECK_URLS = "Check TOKEN_URL, REPORTS_URL and any proxy on the way."
NOT_FOLLOWED = f"Neither the secret nor the token is sent there. {CHECK_URLS}"
SET_REPORTS_URL = "Set REPORTS_URL to that address, without the end point."
TRY_LATER = "The service has a problem: try again later."
LOG_IN = "The network asks for a login: open a web page in a browser, log in, then try again."
ASK_FOR_LESS = "Check the network and any proxy. For a report, ask for a shorter period or a smaller limit."
CHECK_NETWORK = "Check the network, the URL, and whether HTTPS_PROXY must be set."
CHECK_ACCESS = "Check that the file in REQUESTS_CA_BUNDLE can be read, and that no firewall forbids the connection."
CHECK_PORT = "Check the port in the URL, and use http:// in HTTPS_PROXY unless the proxy itself speaks TLS."
CHECK_PROXY = "Check the host and the port in HTTPS_PROXY, such as http://proxy:8080."
SET_PROXY_URL = (
    "HTTPS_PROXY must look like http://user:password@proxy:8080. In the password, write %40 for @ and %23 for #."
)
CHECK_PROXY_LOGIN = "Check the user name and password in HTTPS_PROXY, such as http://user:password@proxy:8080."
ASK_PROXY_ADMINS = "Ask the proxy's administrators whether it blocks this host or has a problem."
SET_CA_BUNDLE = "If a proxy decrypts HTTPS, set REQUESTS_CA_BUNDLE to a file that holds its CA certificate."
CHECK_CA_FILE = "REQUESTS_CA_BUNDLE must name a file of certificates in PEM format."
CHECK_CLOCK = "Check this machine's clock. If it is right, the server needs a new certificate: tell its administrators."
UPDATE_PYTHON = "Update this Python. If that does not help, the server or a proxy on the way is too old."

# Remedies by what is asked for, and by the HTTP status of the answer.
REMEDIES = {
    "token": {
        401: "Check API_KEY and API_SECRET. The key may also have expired, or be restricted to other networks.",
        403: "The API key may have expired, or be restricted to other networks: see its settings in Secure Access.",
        429: "An API key is allowed 20 token requests a minute: wait, then try again.",
    },
    "report": {
        400: "Check the parameters of the end point. In a shell, all of it needs quotation marks.",
        401: "A new token was rejected too: check that TOKEN_URL and REPORTS_URL belong together.",
        403: "The API key lacks the scope for this report, or has expired: see its settings in Secure Access.",
        404: "Check the spelling of the end point, and REPORTS_URL.",
        429: "An organization is allowed about 5 reports a second: wait, then try again.",
    },
}


class Cause(NamedTuple):
    """Why there is no answer; `temporary`: the same request may well succeed a moment later."""

    words: str
    remedy: str
    temporary: bool = False


NO_CONNECTION = Cause("no connection", CHECK_NETWORK, temporary=True)
NO_CONNECTION_IN_TIME = Cause("no connection in time", CHECK_NETWORK, temporary=True)
NO_ANSWER_IN_TIME = Cause("no answer in time", ASK_FOR_LESS)
MALFORMED = Cause("malformed address or answer", CHECK_URLS)
CLOSED_TOO_EARLY = Cause("the connection was closed too early", ASK_FOR_LESS, temporary=True)
PROXY_UNREACHABLE = Cause("no connection to the proxy", CHECK_PROXY, temporary=True)
PROXY_FAILED = Cause("the proxy cannot reach the host", ASK_PROXY_ADMINS, temporary=True)
LOOK_UP_FAILED = Cause("the host name could not be looked up", CHECK_NETWORK, temporary=True)
OTHER_HOST = Cause("the certificate is for another host", CHECK_URLS)
OUTDATED = Cause("the certificate has expired or is not valid yet", CHECK_CLOCK)

# The first row for which an exception of the chain has one of the types, and a text that matches from its beginning.
# ConnectionError, TimeoutError and PermissionError are the built-in ones.
CAUSES: tuple[tuple[Any, str, Cause], ...] = (
    ((InvalidURL, InvalidSchema), "", Cause("invalid proxy URL", SET_PROXY_URL)),
    (OSError, "Tunnel connection failed: 407", Cause("the proxy asks for a user name and password", CHECK_PROXY_LOGIN)),
    (OSError, "Tunnel connection failed: 50[234]", PROXY_FAILED),
    (OSError, "Tunnel connection failed", Cause("the proxy refuses the connection", ASK_PROXY_ADMINS)),
    (ProxyError, ".*(NewConnection|NameResolution|ConnectTimeout)Error", PROXY_UNREACHABLE),
    (ssl.SSLError, ".*certificate (has expired|is not yet valid)", OUTDATED),
    ((ssl.SSLError, ValueError), ".*mismatch, cert|.*doesn't match", OTHER_HOST),
    (ssl.SSLError, ".*CERTIFICATE_VERIFY_FAILED", Cause("the certificate is not trusted", SET_CA_BUNDLE)),
    (OSError, r"Could not find a suitable TLS CA|\[X509", Cause("the CA certificates cannot be read", CHECK_CA_FILE)),
    (ssl.SSLError, ".*(PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)", Cause("no TLS version in common", UPDATE_PYTHON)),
    (ssl.SSLError, ".*(WRONG_VERSION|RECORD_LAYER|LENGTH_TOO_LONG)", Cause("the port does not use TLS", CHECK_PORT)),
    (socket.gaierror, rf"\[Errno {socket.EAI_AGAIN}\]", LOOK_UP_FAILED),
    (socket.gaierror, "", Cause("unknown host name", CHECK_NETWORK)),
    (requests.ConnectTimeout, "", NO_CONNECTION_IN_TIME),
    ((requests.Timeout, socket.timeout, TimeoutError), "", NO_ANSWER_IN_TIME),
    (PermissionError, "", Cause("blocked by the operating system", CHECK_ACCESS)),
    (ConnectionRefusedError, "", NO_CONNECTION),
    (HTTPException, "InvalidChunkLength", MALFORMED),
    ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError, ChunkedEncodingError), "", CLOSED_TOO_EARLY),
    (OverflowError, "", Cause("the answer is too large", ASK_FOR_LESS)),
    (requests.TooManyRedirects, "", Cause("too many redirects", CHECK_URLS)),
    ((HTTPException, ValueError, ContentDecodingError), "", MALFORMED),
    (ssl.SSLError, "", Cause("no TLS connection", CHECK_URLS)),
    (OSError, "", NO_CONNECTION),
    (Exception, "", MALFORMED),
)


def cause_of(error: Exception, read_timed_out: bool = True) -> Cause:
    """Return why there is no answer; `read_timed_out`: the read timeout has passed since the request began."""
    chain = list(_chain(error))
    cause = next(
        cause
        for types, pattern, cause in CAUSES
        if any(isinstance(link, types) and re.match(pattern, str(link)) for link in chain)
    )
    # A handshake that stalls is a read timeout to requests, although the connect timeout ended it.
    return NO_CONNECTION_IN_TIME if cause is NO_ANSWER_IN_TIME and not read_timed_out else cause


def no_answer(cause: Cause, error: Exception, request: requests.PreparedRequest) -> ApiError:
    """Return the error for a request that was not answered."""
    root = list(_chain(error))[-1]
    words = cause.words
    # The words of the system, such as "Connection refused"; other exceptions may quote what was sent.
    if isinstance(root, OSError) and not isinstance(root, requests.RequestException):
        words += f" ({getattr(root, 'verify_message', '') or root.strerror or root})"
    return ApiError(f"{_could_not(request)}: {one_line(words, DETAIL_MAX)}. {cause.remedy}", request=request)


def untrusted_redirect(response: requests.Response, url: str) -> ApiError:
    """Return the refusal to go where the response points."""
    words = f"redirected to {shown_url(url)}, which is not followed"
    return ApiError(f"{_could_not(response.request)}: {words}. {NOT_FOLLOWED}", response=response)


def bad_answer(
    response: requests.Response, problem: str = "", remedy: str = "", error_class: type[ApiError] = ApiError
) -> ApiError:
    """Return the error for an answer with the wrong status, or with a `problem` in its body."""
    words = status_of(response)
    if problem:
        words += f", but {one_line(problem)}"
    explanation = one_line(_explanation(response))
    if explanation:
        words += f' ("{explanation}")'
    elif _is_web_page(response):
        words += " (a web page)"
    elif not problem:
        words += " (no explanation)"
    retry_after = one_line(response.headers.get("Retry-After", ""))
    if retry_after:
        words += f", retry after {retry_after}" + (" seconds" if retry_after.isdigit() else "")
    return error_class(f"{_could_not(response.request)}: {words}. {remedy or _remedy(response)}", response=response)


def status_of(response: requests.Response) -> str:
    """Return the status code and its usual name."""
    return f"{response.status_code} {REASONS.get(response.status_code, '')}".strip()


def shown_url(url: str) -> str:
    """Return the URL without user name, password and query, fit to be shown."""
    parts = urlsplit(url)
    return one_line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def one_line(text: str, length: int = QUOTE_MAX) -> str:
    """Return text of whatever origin, fit to be shown: no secret, no control character, one line, not too long."""
    for secret in sorted(sent_secrets, key=len, reverse=True):  # one may be part of another
        text = text.replace(secret, "...")
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * length]).split())
    return text if len(text) <= length else text[:length] + "..."


def hide_secrets(request: requests.PreparedRequest) -> None:
    """Remember what must not be shown of a request: a password in its URL, a token, or a Basic value and its secret."""
    scheme, _, credentials = str(request.headers.get("Authorization", "")).partition(" ")
    sent = [credentials, urlsplit(str(request.url)).password or ""]
    if scheme == "Basic":
        sent.append(base64.b64decode(credentials).decode("latin-1").partition(":")[2])
    sent_secrets.update(secret for secret in sent if len(secret) >= 4)  # a shorter one would blot out ordinary words


def _could_not(request: requests.PreparedRequest) -> str:
    return f"Could not get a {_asked_for(request)} from {one_line(str(request.url))}"


def _asked_for(request: requests.PreparedRequest) -> str:
    return ASKED_FOR.get(str(request.method), "response")


def _remedy(response: requests.Response) -> str:
    status = response.status_code
    if status == 511:
        return LOG_IN
    if status >= 500:
        return TRY_LATER
    if _is_web_page(response) and status != 429:
        return CHECK_URLS  # a gateway knows nothing of the API key
    return REMEDIES.get(_asked_for(response.request), {}).get(status, CHECK_URLS)


def _is_web_page(response: requests.Response) -> bool:
    return "html" in response.headers.get("Content-Type", "").lower() or response.text.lstrip().startswith("<")


def _explanation(response: requests.Response) -> str:
    """Return the server's own words, in any of the shapes that the API and its gateways use."""
    body = json_body(response)
    if isinstance(body, dict):
        return _words(body)
    # What was to be a token or a report is no explanation.
    return "" if response.ok or _is_web_page(response) else response.text


def _words(value: Any, levels: int = 4) -> str:
    """Return the texts under the known names, as in {"data": {"errors": [{"param": "to", "error": "invalid to"}]}}."""
    if isinstance(value, str):
        return value
    if levels and isinstance(value, list):
        return "; ".join(filter(None, (_words(item, levels - 1) for item in value[:5])))
    if levels and isinstance(value, dict):
        names = ("message", "param", "error", "error_description", "errors", "data")
        return ": ".join(filter(None, (_words(value.get(name), levels - 1) for name in names)))
    return ""


def json_body(response: requests.Response) -> Any:
    """Return the decoded body, or None where it is not JSON."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, the root last."""
    while error is not None:
        yield error
        # Not its __context__, which may be what the caller was handling: a token that was rejected, say.
        nested = [argument for argument in error.args if isinstance(argument, BaseException)]
        error = error.__cause__ or (nested[-1] if nested else None)
