# /// script
# requires-python = ">=3.8"
# dependencies = [
#   "requests>=2.32.4,<3",
#   "oauthlib>=3.2.2,<5",
#   "requests-oauthlib>=2.0.0,<3",
# ]
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

from common.cli import end_points, run
from common.config import load_settings
from common.responses import check_token, read_report, token_rejected
from common.session import report_url, with_retries

log = logging.getLogger(__name__)
# At DEBUG, this library logs the secret and the token.
logging.getLogger("requests_oauthlib").setLevel(logging.WARNING)


class SecureAccessAPI:
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
        self.auth = HTTPBasicAuth(client_id, client_secret)
        self.reports_url = reports_url
        self.token_headers = {}
        if org_id:
            self.token_headers["X-Umbrella-OrgId"] = str(org_id)
        self.oauth: OAuth2Session | None = None
        self.lock = threading.Lock()

    def GetToken(self) -> dict[str, Any]:
        """Request an access token (RFC 6749, section 4.4), and keep it in a session.

        Raises requests.RequestException, and oauthlib's InsecureTransportError if
        token_url is not https.
        """
        client = BackendApplicationClient(client_id=self.client_id)
        # A new session for each token: other threads may still use the old one.
        oauth = with_retries(OAuth2Session(client=client))
        # fetch_token() ignores the status, so check_token() sees the response first.
        oauth.register_compliance_hook("access_token_response", check_token)
        token: dict[str, Any] = oauth.fetch_token(
            token_url=self.token_url, auth=self.auth, headers=self.token_headers
        )
        log.info("Token: %s", {**token, "access_token": "..."})
        self.oauth = oauth
        return token

    def Query(self, end_point: str) -> dict[str, Any]:
        """Return the report of an end point such as "summary?from=-1days&to=now".

        It is {"meta": {}, "data": ...}. Raises requests.RequestException: HTTPError
        for a response with an error status, another one if there is no usable response.
        Raises what GetToken raises, and oauthlib's TokenExpiredError if a new token
        expires before it is used.
        """
        url = report_url(self.reports_url, end_point)
        # Another thread may replace the session: renew() must know which one was used.
        oauth = self.oauth
        if oauth is None:
            oauth = self.renew(None)
        try:
            response = oauth.get(url)
            # The server may reject the token: 401, or 400 invalid_request.
            rejected = token_rejected(response)
        except TokenExpiredError:
            # The session knows the lifetime of its token. It has sent nothing.
            rejected = True
        if rejected:
            response = self.renew(oauth).get(url)
        response.raise_for_status()
        return read_report(response)

    def renew(self, old_session: OAuth2Session | None) -> Any:
        """Return the OAuth2Session that replaces one whose token is no longer valid.

        This flow has no refresh token: to refresh is to request a new access token.
        """
        with self.lock:
            # The first thread gets a token; the others wait here, and find it.
            if self.oauth is old_session:
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
