# /// script
# requires-python = ">=3.8"
# dependencies = ["requests>=2.32.4,<3", "oauthlib>=3.2.2,<5", "requests-oauthlib>=2.0.0,<3"]
# ///
"""Call the Cisco Secure Access Reporting API; oauthlib keeps the access token.

Needs API_KEY and API_SECRET in the environment, and requirements.txt installed.
Run:  python3 oauthlib_api_sample_client.py
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from oauthlib.oauth2 import BackendApplicationClient, TokenExpiredError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from common.api import TokenRejected, check_token, masked, read_report
from common.cli import end_points, run
from common.config import REPORTS_URL, check_settings, load_settings
from common.transport import get, with_retries

log = logging.getLogger(__name__)
logging.getLogger("requests_oauthlib").setLevel(logging.WARNING)  # at DEBUG it logs the secret and the token


class SecureAccessAPI:
    """A client of the Reporting API; threads may share it. Wrong arguments raise ApiError."""

    def __init__(
        self, token_url: str, client_id: str, client_secret: str, reports_url: str = REPORTS_URL, org_id: str | int = ""
    ) -> None:
        check_settings(token_url, client_id, client_secret, reports_url, org_id)
        self.token_url = token_url
        self.client_id = client_id
        self.auth = HTTPBasicAuth(client_id, client_secret)
        self.reports_url = reports_url
        self.token_headers = {"X-Umbrella-OrgId": str(org_id)} if org_id else {}  # picks a child organization
        self.oauth: OAuth2Session | None = None
        self.lock = threading.Lock()

    def GetToken(self) -> dict[str, Any]:
        """Request an access token (RFC 6749, section 4.4) and keep it for later requests; raise ApiError."""
        client = BackendApplicationClient(client_id=self.client_id)
        oauth = with_retries(OAuth2Session(client=client))
        oauth.register_compliance_hook("access_token_response", check_token)
        token: dict[str, Any] = oauth.fetch_token(token_url=self.token_url, auth=self.auth, headers=self.token_headers)
        log.info("Token: %s", masked(token))
        self.oauth = oauth
        return token

    def Query(self, end_point: str) -> Any:
        """Return the decoded report, {"meta": {}, "data": ...}, of an end point such as "summary?from=-1days&to=now".

        Raises ApiError, whose text is one line for the user.
        """
        oauth = self.oauth or self._renew(None)
        try:
            return self._get(oauth, end_point)
        except (TokenExpiredError, TokenRejected):  # by the clock; or by the server, 401 or 400 invalid_request
            oauth = self._renew(oauth)
        return self._get(oauth, end_point)

    def _get(self, oauth: OAuth2Session, end_point: str) -> Any:
        response, self.reports_url = get(oauth, self.reports_url, end_point)
        return read_report(response)

    def _renew(self, oauth: OAuth2Session | None) -> Any:
        """Return the session that replaces `oauth`: the first thread gets its token, the others wait for it."""
        with self.lock:
            if self.oauth is oauth:
                self.GetToken()
            return self.oauth


def main() -> None:
    """Print the report of each end point as a Python dict."""
    requested = end_points(__doc__)
    api = SecureAccessAPI(**load_settings())
    for end_point in requested:
        print(api.Query(end_point), flush=True)


if __name__ == "__main__":
    raise SystemExit(run(main))
