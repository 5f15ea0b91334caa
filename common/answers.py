"""What the API answers: a token, a report, or a failure in words that say what to do about it."""

from __future__ import annotations

import base64
import json
import socket
from http.client import responses as REASONS
from typing import Any, Iterator
from urllib.parse import urlsplit

import requests
from requests import exceptions

# What a server says is cut after so many characters.
WORDS_MAX = 200

# Likely cause and remedy, by the HTTP status of the answer.
TOKEN_REMEDIES = {
    401: "Check API_KEY and API_SECRET; the key may also have expired, or be restricted to other networks.",
    403: "The API key may have expired, or be restricted to other networks: see its settings in Secure Access.",
    429: "An API key may ask for 20 tokens a minute: wait, then try again.",
}
REPORT_REMEDIES = {
    400: "Check the parameters of the end point.",
    401: "A new token is rejected too: check that TOKEN_URL and REPORTS_URL belong together.",
    403: "The API key lacks the scope for this report, or has expired: see its settings in Secure Access.",
    404: "Check the spelling of the end point, and REPORTS_URL.",
    429: "An organization may ask for about 5 reports a second: wait, then try again.",
}
SERVER_REMEDY = "The service has a problem: try again later."
URL_REMEDY = "Check TOKEN_URL, REPORTS_URL and any proxy on the way."


class ApiError(requests.RequestException):
    """No report can be had at all: no token, no answer, or too many requests.

    The text is one line for the user; it never holds a secret or a whole token.
    """


class ReportError(ApiError):
    """This report cannot be had; others may."""


class TokenRejected(ApiError):
    """The server rejects an access token that should be valid."""

    access_token = ""  # to be compared with the present one, never to be shown


# Where no answer came: what requests or the system raised, what is said of it, what to do, and whether the next report
# may fare better.
TRY_LESS = "Check the network and any proxy, or ask for less: a shorter period, a smaller limit."
CERTIFICATE = "If a proxy opens TLS, set REQUESTS_CA_BUNDLE to a file that holds its CA certificate."
NETWORK = "Check the network, the URL, and whether HTTPS_PROXY must be set."
PROXY = "Check HTTPS_PROXY, and the user name and password in it."
PROXY_ERRORS = (exceptions.ProxyError, exceptions.InvalidProxyURL, exceptions.InvalidSchema)
DAMAGED = (exceptions.ChunkedEncodingError, exceptions.ContentDecodingError)
NO_ANSWER: tuple[tuple[tuple[type[BaseException], ...], str, str, type[ApiError]], ...] = (
    (PROXY_ERRORS, "the proxy does not work", PROXY, ApiError),
    ((exceptions.SSLError,), "no trusted TLS connection", CERTIFICATE, ApiError),
    ((requests.Timeout, socket.timeout), "no answer in time", TRY_LESS, ApiError),
    ((socket.gaierror,), "the host name is not known", NETWORK, ApiError),
    ((requests.ConnectionError,), "no connection", NETWORK, ApiError),
    (DAMAGED, "the answer is damaged or breaks off", TRY_LESS, ReportError),
    ((requests.TooManyRedirects,), "one redirect after another", URL_REMEDY, ReportError),
    ((requests.RequestException, ValueError), "an address or an answer is malformed", URL_REMEDY, ReportError),
    ((OSError,), "the CA certificates cannot be read", CERTIFICATE, ApiError),
)
NOT_FOLLOWED = "Secret and token go to trusted hosts only: check TOKEN_URL, REPORTS_URL and any proxy on the way."


def read_token(response: requests.Response) -> dict[str, Any]:
    """Return `token_type`, `access_token` and `expires_in` of a token response (RFC 6749, section 5.1).

    `expires_in`, in seconds, is a positive int, or absent where the server sent none, null, 0 or less: such a token is
    good until it is rejected. Raises ApiError for an answer that holds no bearer token.
    """
    token = _decoded(response)
    if not isinstance(token, dict) or not isinstance(token.get("access_token"), str):
        raise _failure(response, "no access_token in it")
    access_token = token["access_token"].strip()
    if not (access_token and access_token.isascii() and access_token.isprintable()):
        raise _failure(response, "an access_token that no header can carry")
    token_type = token.get("token_type") or "bearer"
    if str(token_type).lower() != "bearer":
        raise _failure(response, "a token_type other than bearer")
    try:
        expires_in = int(float(token.get("expires_in") or 0))
    except (TypeError, ValueError, OverflowError):
        raise _failure(response, "an expires_in that is no number of seconds") from None
    lifetime = {"expires_in": expires_in} if expires_in > 0 else {}
    return {"token_type": token_type, "access_token": access_token, **lifetime}


def standard_token(response: requests.Response) -> requests.Response:
    """Compliance hook: `OAuth2Session.fetch_token` looks at no status; let it see a token, or raise ApiError."""
    response._content = json.dumps(read_token(response)).encode()
    return response


def masked(token: dict[str, Any]) -> dict[str, Any]:
    """Return the token's fields for a log: of the access token its first characters, no more."""
    access_token = token["access_token"]
    return {**token, "access_token": access_token[: min(8, len(access_token) // 4)] + "..."}


def read_report(response: requests.Response) -> Any:
    """Return the decoded report, {"meta": {}, "data": ...}; raise TokenRejected, ReportError or ApiError."""
    # A revoked or unknown token is answered 401, an expired one 400 invalid_request.
    body = _json(response) if response.status_code == 400 else None
    if response.status_code == 401 or (isinstance(body, dict) and body.get("error") == "invalid_request"):
        rejected = TokenRejected(_line(response, REPORT_REMEDIES[401]), response=response)
        rejected.access_token = _authorization(response.request)[1]
        raise rejected
    return _decoded(response)


def no_answer(error: Exception, method: str, url: str) -> ApiError:
    """Return the words for what requests raised instead of an answer."""
    if isinstance(error, ApiError):
        return error
    causes = list(_causes(error))
    _, words, remedy, kind = next(row for row in NO_ANSWER if any(isinstance(cause, row[0]) for cause in causes))
    # In the system's words, such as "Connection refused"; those of other exceptions may quote what was sent.
    last = causes[-1]
    if isinstance(last, OSError):
        words += f" ({getattr(last, 'verify_message', '') or last.strerror or last})"
    return (kind if method == "GET" else ApiError)(f"{_wanted(method, url)}: {_clean(words)}. {remedy}")


def untrusted_redirect(response: requests.Response, url: str) -> ApiError:
    """Return the refusal to go where the response points."""
    kind = ReportError if response.request.method == "GET" else ApiError
    place = _clean("{0.scheme}://{0.hostname}".format(urlsplit(url)))
    wanted = _wanted(response.request.method, response.url)
    return kind(f"{wanted}: redirected to {place}, which is not followed. {NOT_FOLLOWED}", response=response)


def _decoded(response: requests.Response) -> Any:
    body = _json(response)
    if not 200 <= response.status_code < 300:
        raise _failure(response)
    if body is _NOT_JSON:
        raise _failure(response, "no JSON")
    return body


_NOT_JSON = object()


def _json(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _failure(response: requests.Response, lack: str = "") -> ApiError:
    """Return the error for an answer with the wrong status, or with something lacking in its body."""
    status, for_report = response.status_code, response.request.method == "GET"
    remedies = REPORT_REMEDIES if for_report else TOKEN_REMEDIES
    remedy = SERVER_REMEDY if status >= 500 else remedies.get(status, URL_REMEDY)
    kind = ReportError if for_report and status != 429 else ApiError
    return kind(_line(response, remedy, lack), response=response)


def _line(response: requests.Response, remedy: str, lack: str = "") -> str:
    """Return what failed, the status, the server's own words and the remedy, on one line."""
    parts = [f"{response.status_code} {REASONS.get(response.status_code, '')}".strip()]
    if lack:
        parts.append(f"but {lack}")
    words = _server_words(response)
    scheme, credentials = _authorization(response.request)
    secret = base64.b64decode(credentials).decode("latin-1").partition(":")[2] if scheme == "Basic" else ""
    for repeated in filter(None, (secret, credentials)):
        words = words.replace(repeated, "...")
    words = _clean(words)
    parts.append(f'"{words}"' if words else "without a word")
    wait = _clean(response.headers.get("Retry-After", ""))
    if wait:
        parts.append(f"come back after {wait}" + " seconds" * wait.isdigit())
    return f"{_wanted(response.request.method, response.url)}: {', '.join(parts)}. {remedy}"


def _server_words(response: requests.Response) -> str:
    """Return the explanation in each of the shapes that the API and its gateways use."""
    body = _json(response)
    if not isinstance(body, dict):
        if "<html" in response.text.lower():
            return "an HTML page"
        return "" if response.ok else response.text  # what was to be a token is not for the terminal
    data: Any = body.get("data")
    data = data if isinstance(data, dict) else {}
    errors: Any = data.get("errors")
    errors = errors if isinstance(errors, list) else []
    words = [(body.get("message"),), (body.get("error"), body.get("error_description")), (data.get("error"),)]
    words += [(error.get("param"), error.get("error")) for error in errors if isinstance(error, dict)]
    texts = [": ".join(word for word in group if isinstance(word, str)) for group in words]
    return "; ".join(text for text in texts if text)


def _authorization(request: requests.PreparedRequest) -> tuple[str, str]:
    """Return the scheme and the credentials that were sent: a token, or the Basic encoding of key and secret."""
    scheme, _, credentials = str(request.headers.get("Authorization", "")).partition(" ")
    return scheme, credentials


def _wanted(method: str | None, url: str | None) -> str:
    return f"No {'report' if method == 'GET' else 'token'} from {_clean(url or '')}"


def _clean(text: str) -> str:
    """Return the text on one line, without control characters, and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * WORDS_MAX]).split())
    return line if len(line) <= WORDS_MAX else line[:WORDS_MAX] + "..."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # Not its __context__, which may be what the caller was handling: a token that was rejected, say.
        nested = [argument for argument in error.args if isinstance(argument, BaseException)]
        error = error.__cause__ or (nested[-1] if nested else None)
