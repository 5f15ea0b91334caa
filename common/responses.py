"""What a response holds: a token, a report, or a rejection of the token."""

from __future__ import annotations

import re
from typing import Any

from requests import RequestException, Response

CHECK_URLS = "Check TOKEN_URL, REPORTS_URL, and any proxy or login page on the way."
TRY_AGAIN = "Try again, or request one kind alone, such as activity/dns."


class UnusableResponse(RequestException):
    """A response whose status is no error, but which is not what was requested.

    `response` is that response, and `remedy` is what the user can do.
    """

    def __init__(
        self, problem: str, response: Response | None = None, remedy: str = CHECK_URLS
    ) -> None:
        super().__init__(problem, response=response)
        self.remedy = remedy


def read_report(response: Response) -> dict[str, Any]:
    """Return the report of a successful response, {"meta": {}, "data": ...}.

    Raises UnusableResponse for anything else, and for a partial report, which Cisco
    documents for /activity and /total-requests: 207, with the kinds of traffic that
    are missing in meta.failed.
    """
    report = read_json(response)
    meta = report.get("meta") or {}
    failed = meta.get("failed")
    if failed or response.status_code == 207:
        problem = f"a partial report, without {failed or 'some kinds'}"
        raise UnusableResponse(problem, response, TRY_AGAIN)
    if response.status_code != 200:
        raise UnusableResponse("unexpected status", response)
    return report


def read_json(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response, or raise UnusableResponse."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    if is_web_page(response):
        raise UnusableResponse("a web page", response)
    raise UnusableResponse("not a JSON object", response)


def is_web_page(response: Response) -> bool:
    """Return whether HTML or XML came, perhaps from a proxy or a login page."""
    return response.content.lstrip().startswith(b"<")


def check_token(response: Response) -> Response:
    """Return a response that holds a token (RFC 6749, section 5.1), or raise.

    Raises HTTPError for an error status, and UnusableResponse for anything else that
    is not a token. As a compliance hook, it does so for OAuth2Session.fetch_token,
    which does not look at the status.
    """
    response.raise_for_status()
    token = read_json(response)
    access_token = token.get("access_token")
    # Printable ASCII, as a header needs.
    if not isinstance(access_token, str) or not re.fullmatch("[!-~]+", access_token):
        raise UnusableResponse("no usable access_token", response)
    expires_in = token.get("expires_in", 3600)
    if not re.fullmatch("[1-9][0-9]{0,8}", str(expires_in)):
        raise UnusableResponse("no usable expires_in", response)
    return response


def token_rejected(response: Response) -> bool:
    """Return whether the server rejected the token of a request for a report.

    It answers 401 if the token was revoked, 400 "invalid_request" if it has expired.
    Source: Cisco's documentation of Secure Access and of Umbrella, its sister product.
    """
    if response.status_code == 400:
        return b'"invalid_request"' in response.content
    return response.status_code == 401
