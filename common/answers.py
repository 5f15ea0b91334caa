"""What the API answers: a token, a report, or that it rejects the token."""

from __future__ import annotations

import json
from typing import Any

import requests

from common.errors import REMEDIES, SET_REPORTS_URL, TokenRejected, bad_answer, json_body

# No report of this API is nested half as deeply; Python gives up printing at about 1000 levels.
LEVELS_MAX = 100


def read_token(response: requests.Response) -> dict[str, Any]:
    """Return `token_type`, `access_token` and `expires_in` of a token response (RFC 6749, section 5.1).

    `expires_in`, in seconds, is a positive int, or absent where the server sent none, null, 0 or less: such a token is
    good until it is rejected. Raises ApiError for an answer that holds no bearer token.
    """
    token = _json_object(response)
    if not isinstance(token.get("access_token"), str):
        raise bad_answer(response, "there is no access_token in it")
    access_token = token["access_token"].strip()
    if not (access_token and access_token.isascii() and access_token.isprintable()):
        raise bad_answer(response, "its access_token is not a valid header value")
    token_type = token.get("token_type") or "bearer"
    if str(token_type).lower() != "bearer":
        raise bad_answer(response, "its token_type is not bearer")
    try:
        expires_in = int(float(token.get("expires_in") or 0))
    except (TypeError, ValueError, OverflowError):
        raise bad_answer(response, "its expires_in is not a number of seconds") from None
    lifetime = {"expires_in": expires_in} if expires_in > 0 else {}
    return {"token_type": token_type, "access_token": access_token, **lifetime}


def standard_token(response: requests.Response) -> requests.Response:
    """Compliance hook: `OAuth2Session.fetch_token` does not look at the status; show it a token, or raise ApiError."""
    response._content = json.dumps(read_token(response)).encode()
    return response


def masked(token: dict[str, Any]) -> dict[str, Any]:
    """Return the token's fields for a log, with the first characters of the access token only."""
    access_token = token["access_token"]
    return {**token, "access_token": access_token[: min(8, len(access_token) // 4)] + "..."}


def is_rejected(response: requests.Response) -> bool:
    """Tell whether the token was rejected: a revoked one is answered 401, an expired one 400 invalid_request."""
    body = json_body(response) if response.status_code == 400 else None
    return response.status_code == 401 or (isinstance(body, dict) and body.get("error") == "invalid_request")


def read_report(response: requests.Response) -> Any:
    """Return the decoded report, {"meta": {}, "data": ...}; raise TokenRejected or another ApiError."""
    if is_rejected(response):
        raise bad_answer(response, remedy=REMEDIES["report"][401], error_class=TokenRejected)
    report = _json_object(response)
    data = report.get("data")
    if not isinstance(data, (dict, list)):
        raise bad_answer(response, "there is no data in it")
    if isinstance(data, dict) and list(data) == ["redirect"]:
        raise bad_answer(response, f"the data is at {data['redirect']}", SET_REPORTS_URL)
    if _is_deeper_than(LEVELS_MAX, report):
        raise bad_answer(response, "it is nested too deeply")
    return report


def _json_object(response: requests.Response) -> dict[str, Any]:
    if not 200 <= response.status_code < 300:
        raise bad_answer(response)
    body = json_body(response)
    if not isinstance(body, dict):
        raise bad_answer(response, "it is not a JSON object")
    return body


def _is_deeper_than(levels: int, value: Any) -> bool:
    children = value.values() if isinstance(value, dict) else value
    nested = [child for child in children if isinstance(child, (dict, list))]
    return bool(nested) and (levels == 0 or any(_is_deeper_than(levels - 1, child) for child in nested))
