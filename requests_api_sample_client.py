"""Call the Cisco Secure Access Reporting API; this script keeps the access token.

Needs the packages of requirements.txt, and the environment variables API_KEY and API_SECRET.
Run:  python3 requests_api_sample_client.py
"""

from __future__ import annotations

import functools
import json
import logging
import math
import threading
import time
from typing import Any, Callable

import requests

from common import cli
from common.answers import masked, read_report, read_token
from common.config import REPORTS_URL, load_settings
from common.errors import TokenRejected
from common.session import ApiSession, regional_base

# A token is refreshed this many seconds before it expires, or a tenth of its lifetime before if that is less.
REFRESH_MARGIN = 60

log = logging.getLogger(__name__)


class secureAccessAPI:
    """A client of the Reporting API; threads may share it."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        *,
        reports_url: str = REPORTS_URL,
        org_id: str | None = None,
        show_token: bool = False,
    ) -> None:
        self.token_url = token_url
        self.client_id = client_id
        self.client_secret = client_secret
        self.reports_url = reports_url
        self.token_headers = {"X-Umbrella-OrgId": org_id} if org_id else {}  # picks a child organization
        self.show_token = show_token
        self.session = ApiSession()
        self.access_token = ""
        self.access_token_expiration = 0.0  # seconds since the epoch
        self.lock = threading.Lock()

    def getAccessToken(self) -> str:
        """Request an access token (RFC 6749, section 4.4) and keep it for later calls. Raises ApiError."""
        rsp = self.session.post(
            self.token_url,
            data={"grant_type": "client_credentials"},
            auth=requests.auth.HTTPBasicAuth(self.client_id, self.client_secret),
            headers=self.token_headers,
        )
        token = read_token(rsp)
        lifetime = token.get("expires_in", math.inf)  # not said: good until it is rejected
        token["expires_at"] = time.time() + lifetime
        log.info("Token: %s", token if self.show_token else masked(token))
        self.access_token = token["access_token"]
        self.access_token_expiration = token["expires_at"] - min(REFRESH_MARGIN, lifetime / 10)
        return self.access_token


def refreshToken(decorated: Callable[..., Any]) -> Callable[..., Any]:
    """Call `decorated` with a valid token in `api`; if the token is rejected, get a new one and call once more."""

    @functools.wraps(decorated)
    def wrapper(api: secureAccessAPI, *args: Any, **kwargs: Any) -> Any:
        with api.lock:  # the first thread here gets the token, the others wait for it
            if time.time() > api.access_token_expiration:
                api.getAccessToken()
            access_token = api.access_token
        try:
            return decorated(api, *args, **kwargs)
        except TokenRejected:  # 401, or 400 invalid_request: one new token, one more try
            with api.lock:
                if api.access_token == access_token:  # no other thread has replaced it
                    api.getAccessToken()
        return decorated(api, *args, **kwargs)

    return wrapper


@refreshToken
def callSecureAccessApi(api: secureAccessAPI, path: str) -> Any:
    """Return the decoded report, {"meta": {}, "data": ...}, for an end point such as "summary?from=-1days&to=now".

    Raises ApiError, whose text is one line for the user.
    """
    api_headers = {"Authorization": "Bearer " + api.access_token}
    r = api.session.get(f"{api.reports_url}/{path.lstrip('/')}", headers=api_headers)
    report = read_report(r)
    api.reports_url = regional_base(r, path, api.reports_url)
    return report


def main() -> int:
    """Print the report of each end point as JSON; return the exit code."""
    args = cli.arguments(__doc__)
    settings = load_settings()
    api = secureAccessAPI(
        settings.token_url,
        settings.api_key,
        settings.api_secret,
        reports_url=settings.reports_url,
        org_id=settings.org_id,
        show_token=args.show_token,
    )
    for end_point in args.end_points:
        print(json.dumps(callSecureAccessApi(api, end_point), indent=4), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(cli.run(main))
