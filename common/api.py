"""What the API returns: a token, a report, or an error in one line."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from typing import Any

from requests import PreparedRequest, RequestException, Response

CHECK_URLS = "Check TOKEN_URL, REPORTS_URL, and any proxy or login page on the way."
TRY_LATER = "The service has a problem: try again later."
# What to do, by the method and the status: POST requests a token, GET a report.
REMEDIES = {
    "POST": {
        401: "Check API_KEY and API_SECRET; the key may also have expired, or be restricted to other networks.",
        403: "The API key may have expired, or be restricted to other networks: see its settings in Secure Access.",
        429: "An API key is allowed 20 token requests a minute: wait, then try again.",
    },
    "GET": {
        400: "Check the parameters of the end point; in a shell, put all of it in quotation marks.",
        401: "A new token was rejected too: check that TOKEN_URL and REPORTS_URL belong together.",
        403: "The API key lacks the scope for this report, or has expired: see its settings in Secure Access.",
        404: "Check the spelling of the end point, and REPORTS_URL.",
        429: "An organization is allowed about 5 reports a second: wait, then try again.",
    },
}


class ApiError(RequestException):
    """A token or a report could not be obtained. The text is one line for the user; it holds no secret and no token."""


class TokenRejected(ApiError):
    """The server rejected a token that had not expired by the clock."""


def read_token(response: Response) -> dict[str, Any]:
    """Return `token_type`, `access_token` and `expires_in`, in seconds (RFC 6749, section 5.1); raise ApiError.

    A lifetime that is missing or makes no sense counts as an hour, which is what this API grants.
    """
    token = read_report(response)
    access_token = token.get("access_token")
    if not isinstance(access_token, str) or not re.fullmatch("[!-~]+", access_token):  # printable ASCII, for a header
        raise bad_response(response, "no usable access_token")
    expires_in = str(token.get("expires_in"))
    lifetime = int(expires_in) if re.fullmatch("[0-9]{1,9}", expires_in) else 0
    return {"token_type": "bearer", "access_token": access_token, "expires_in": lifetime or 3600}


def check_token(response: Response) -> Response:
    """Compliance hook for `OAuth2Session.fetch_token`, which ignores the status: pass on a token, or raise ApiError."""
    response._content, response.encoding = json.dumps(read_token(response)).encode(), "utf-8"
    return response


def masked(token: dict[str, Any]) -> dict[str, Any]:
    """Return the token for a log, with no more than the first characters of the access token."""
    access_token = token["access_token"]
    return {**token, "access_token": access_token[: min(8, len(access_token) // 4)] + "..."}


def read_report(response: Response) -> Any:
    """Return the decoded report, usually {"meta": {}, "data": ...}; raise TokenRejected or another ApiError."""
    if response.status_code != 200:
        raise bad_response(response)
    with suppress(ValueError):
        body = json.loads(response.content)  # response.json() guesses the encoding, which can take minutes
        if isinstance(body, dict):
            return body
    raise bad_response(response, "not a JSON object")


def bad_response(response: Response, problem: str = "") -> ApiError:
    """Return the error for a response with the wrong status, or with a `problem` in its body."""
    status, request, text = response.status_code, response.request, response.content.decode(errors="replace")
    # A revoked token is answered 401, an expired one 400 invalid_request.
    rejected = request.method == "GET" and (status == 401 or (status == 400 and '"invalid_request"' in text))
    remedy = REMEDIES[str(request.method)].get(401 if rejected else status, TRY_LATER if status >= 500 else CHECK_URLS)
    # A server may repeat what it was sent.
    scheme, _, credentials = str(request.headers.get("Authorization", "")).partition(" ")
    secret = base64.b64decode(credentials).decode("latin-1").partition(":")[2] if scheme == "Basic" else ""
    for sent in filter(None, (credentials, secret)):
        text = text.replace(sent, "...")
    words = problem or one_line(text)[:200] or "no explanation"
    if "html" in response.headers.get("Content-Type", "").lower() or text.lstrip().startswith("<"):
        words, remedy = "a web page", CHECK_URLS  # of a proxy or a gateway, which knows nothing of the key
    line = explain(request, f"{status} {response.reason} ({words})", remedy)
    return (TokenRejected if rejected else ApiError)(line, response=response)


def not_followed(response: Response) -> ApiError:
    """Return the error for a redirect to where no secret and no token is sent."""
    cause = f"redirected to {response.headers['Location']}, which is not followed"
    return ApiError(explain(response.request, cause, CHECK_URLS), response=response)


def explain(request: PreparedRequest, cause: str, remedy: str) -> str:
    """Return the line for the user: what could not be obtained, from where, why, and what to do."""
    requested = "token" if request.method == "POST" else "report"
    return one_line(f"Could not get a {requested} from {str(request.url)[:300]}: {cause}. {remedy}")


def one_line(text: str) -> str:
    """Return text of any origin fit to be shown: one printable line, not too long, without a password in a URL."""
    text = re.sub(r"//[^/\s]*@", "//", "".join(c if c.isprintable() else " " for c in text))
    return " ".join(text.split())[:1000]
