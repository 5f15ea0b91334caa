"""What a response holds: a token, JSON, or a rejection of the token."""

from __future__ import annotations

import json
import re
from typing import Any

from requests import Response
from requests.exceptions import InvalidJSONError


def read_json(response: Response) -> dict[str, Any]:
    """Return the JSON object of a successful response, or raise InvalidJSONError."""
    if response.status_code != 200:
        raise not_usable(response, "unexpected status")
    try:
        # response.json() would guess the encoding, which can take minutes.
        body = json.loads(response.content)
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    if is_web_page(response):
        raise not_usable(response, "a web page")
    raise not_usable(response, "not a JSON object")


def is_web_page(response: Response) -> bool:
    """Return whether HTML or XML came, perhaps from a proxy or a login page."""
    return response.content.lstrip().startswith(b"<")


def not_usable(response: Response, problem: str) -> InvalidJSONError:
    """Return the error for a successful response that cannot be used."""
    text = f"{response.status_code} {response.reason} ({problem})"
    return InvalidJSONError(text, request=response.request, response=response)


def check_token(response: Response) -> Response:
    """Return a response that holds a token (RFC 6749, section 5.1), or raise.

    Raises HTTPError for an error status, and InvalidJSONError for anything else that
    is not a token. As a compliance hook, it does so for OAuth2Session.fetch_token,
    which does not look at the status.
    """
    response.raise_for_status()
    token = read_json(response)
    access_token = token.get("access_token")
    # Printable ASCII, as a header needs.
    if not isinstance(access_token, str) or not re.fullmatch("[!-~]+", access_token):
        raise not_usable(response, "no usable access_token")
    token_type = token.get("token_type", "bearer")
    if str(token_type).lower() != "bearer":
        raise not_usable(response, "token_type is not bearer")
    expires_in = token.get("expires_in", 3600)
    if not re.fullmatch("[1-9][0-9]{0,8}", str(expires_in)):
        raise not_usable(response, "no usable expires_in")
    return response


def token_rejected(response: Response) -> bool:
    """Return whether the server rejected the token of a request for a report.

    It answers 401 if the token was revoked, 400 "invalid_request" if it has expired.
    Source: Cisco's documentation of Secure Access and of Umbrella, its sister product.
    """
    if response.status_code == 400:
        return b'"invalid_request"' in response.content
    return response.status_code == 401
