# /// script
# requires-python = ">=3.8"
# dependencies = ["requests>=2.32.4,<3"]
# ///
"""Call the Cisco Secure Access Reporting API; this script keeps the access token.

Needs API_KEY and API_SECRET in the environment, and requirements.txt installed.
Run:  python3 requests_api_sample_client.py
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from typing import Any, Callable

import requests

from common.cli import end_points, run
from common.config import load_settings
from common.responses import check_token, read_report, token_rejected
from common.session import report_url, with_retries

log = logging.getLogger(__name__)


class secureAccessAPI:
    """A client of the Reporting API, which several threads may share.

    `org_id` picks the child organization of a multi-organization account.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        reports_url: str = "https://api.sse.cisco.com/reports/v2",
        org_id: str | int = "",
    ) -> None:
        self.token_url = token_url
        self.client_id = client_id
        self.client_secret = client_secret
        self.reports_url = reports_url
        self.token_headers = {}
        if org_id:
            self.token_headers["X-Umbrella-OrgId"] = str(org_id)
        self.session = with_retries(requests.Session())
        self.access_token = ""
        self.access_token_expiration = 0.0  # seconds since the epoch
        self.lock = threading.Lock()

    def getAccessToken(self) -> str:
        """Request an access token (RFC 6749, section 4.4), and keep it.

        Raises requests.RequestException.
        """
        rsp = self.session.post(
            self.token_url,
            data={"grant_type": "client_credentials"},
            auth=(self.client_id, self.client_secret),
            headers=self.token_headers,
        )
        token = check_token(rsp).json()
        lifetime = int(token.get("expires_in", 3600))
        token["expires_at"] = time.time() + lifetime
        log.info("Token: %s", {**token, "access_token": "..."})
        self.access_token = token["access_token"]
        # Renew it early: a minute before a token of an hour expires.
        self.access_token_expiration = token["expires_at"] - lifetime / 60
        return self.access_token


def refreshToken(decorated: Callable[..., Any]) -> Callable[..., Any]:
    """Call `decorated` with a valid token; if the server rejects it, with a new one.

    This flow has no refresh token: to refresh is to request a new access token.
    """

    @functools.wraps(decorated)
    def wrapper(api: secureAccessAPI, *args: Any, **kwargs: Any) -> Any:
        with api.lock:
            # The first thread gets a token; the others wait here, and find it.
            if time.time() > api.access_token_expiration:
                api.getAccessToken()
        try:
            return decorated(api, *args, **kwargs)
        except requests.HTTPError as error:
            response = error.response
            # The server may reject the token: 401, or 400 invalid_request.
            if response is None or not token_rejected(response):
                raise
            sent_header = response.request.headers.get("Authorization")
        with api.lock:
            # Another thread may have replaced the token already.
            if sent_header == "Bearer " + api.access_token:
                api.getAccessToken()
        return decorated(api, *args, **kwargs)

    return wrapper


@refreshToken
def callSecureAccessApi(api: secureAccessAPI, path: str) -> dict[str, Any]:
    """Return the report of an end point such as "summary?from=-1days&to=now".

    It is {"meta": {}, "data": ...}. Raises requests.RequestException: HTTPError
    for a response with an error status, another one if there is no usable response.
    """
    api_headers = {"Authorization": "Bearer " + api.access_token}
    r = api.session.get(report_url(api.reports_url, path), headers=api_headers)
    r.raise_for_status()
    return read_report(r)


def main() -> None:
    """Print the report of each end point as JSON."""
    requested = end_points(__doc__)
    api = secureAccessAPI(**load_settings())
    for end_point in requested:
        print(json.dumps(callSecureAccessApi(api, end_point), indent=4), flush=True)


if __name__ == "__main__":
    raise SystemExit(run(main))
