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

from common.api import TokenRejected, masked, read_report, read_token
from common.cli import end_points, run
from common.config import REPORTS_URL, check_settings, load_settings
from common.transport import get, with_retries

log = logging.getLogger(__name__)


class secureAccessAPI:
    """A client of the Reporting API; threads may share it. Wrong arguments raise ApiError."""

    def __init__(
        self, token_url: str, client_id: str, client_secret: str, reports_url: str = REPORTS_URL, org_id: str | int = ""
    ) -> None:
        check_settings(token_url, client_id, client_secret, reports_url, org_id)
        self.token_url = token_url
        self.client_id = client_id
        self.client_secret = client_secret
        self.reports_url = reports_url
        self.token_headers = {"X-Umbrella-OrgId": str(org_id)} if org_id else {}  # picks a child organization
        self.session = with_retries(requests.Session())
        self.access_token = ""
        self.access_token_expiration = 0.0  # seconds since the epoch
        self.lock = threading.Lock()

    def getAccessToken(self) -> str:
        """Request an access token (RFC 6749, section 4.4) and keep it for later requests; raise ApiError."""
        payload = {"grant_type": "client_credentials"}
        auth = (self.client_id, self.client_secret)
        rsp = self.session.post(self.token_url, data=payload, auth=auth, headers=self.token_headers)
        token = read_token(rsp)
        token["expires_at"] = time.time() + token["expires_in"]
        log.info("Token: %s", masked(token))
        self.access_token = token["access_token"]
        self.access_token_expiration = token["expires_at"] - token["expires_in"] / 10  # nearly expired
        return self.access_token


def refreshToken(decorated: Callable[..., Any]) -> Callable[..., Any]:
    """Call `decorated` with a valid token in `api`; if the server rejects it, get a new one and call once more."""

    @functools.wraps(decorated)
    def wrapper(api: secureAccessAPI, *args: Any, **kwargs: Any) -> Any:
        with api.lock:  # the first thread gets the token, the others wait for it
            if time.time() > api.access_token_expiration:
                api.getAccessToken()
            access_token = api.access_token
        try:
            return decorated(api, *args, **kwargs)
        except TokenRejected:  # by the server, 401 or 400 invalid_request
            with api.lock:
                if api.access_token == access_token:  # no other thread has replaced it
                    api.getAccessToken()
        return decorated(api, *args, **kwargs)

    return wrapper


@refreshToken
def callSecureAccessApi(api: secureAccessAPI, path: str) -> Any:
    """Return the decoded report, {"meta": {}, "data": ...}, of an end point such as "summary?from=-1days&to=now".

    Raises ApiError, whose text is one line for the user.
    """
    api_headers = {"Authorization": "Bearer " + api.access_token}
    r, api.reports_url = get(api.session, api.reports_url, path, headers=api_headers)
    return read_report(r)


def main() -> None:
    """Print the report of each end point as JSON."""
    requested = end_points(__doc__)
    api = secureAccessAPI(**load_settings())
    for end_point in requested:
        print(json.dumps(callSecureAccessApi(api, end_point), indent=4), flush=True)


if __name__ == "__main__":
    raise SystemExit(run(main))
