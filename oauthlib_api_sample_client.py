"""Call the Cisco Secure Access Reporting API; oauthlib keeps the access token.

Needs the packages of requirements.txt, and the environment variables API_KEY and API_SECRET.
Run:  python3 oauthlib_api_sample_client.py
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from oauthlib.oauth2 import BackendApplicationClient, InsecureTransportError, TokenExpiredError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from common import cli
from common.answers import is_rejected, masked, read_report, standard_token
from common.config import REPORTS_URL, load_settings
from common.session import ApiAdapter, ApiSession, regional_base

log = logging.getLogger(__name__)


class OAuth2ApiSession(ApiSession, OAuth2Session):
    """OAuth2Session keeps the token; ApiSession adds timeouts, retries and regional redirects."""


class SecureAccessAPI:
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
        self.auth = HTTPBasicAuth(client_id, client_secret)
        self.reports_url = reports_url
        self.token_headers = {"X-Umbrella-OrgId": org_id} if org_id else {}  # picks a child organization
        self.show_token = show_token
        self.adapter = ApiAdapter()
        self.oauth: OAuth2ApiSession | None = None
        self.lock = threading.Lock()

    def GetToken(self) -> dict[str, Any]:
        """Request an access token (RFC 6749, section 4.4) and keep it for later calls. Raises ApiError."""
        client = BackendApplicationClient(client_id=self.client_id)
        # A session per token, on the same connections: threads may still be using the last one.
        oauth = OAuth2ApiSession(client=client, adapter=self.adapter)
        oauth.register_compliance_hook("access_token_response", standard_token)
        token = oauth.fetch_token(token_url=self.token_url, auth=self.auth, headers=self.token_headers)
        log.info("Token: %s", token if self.show_token else masked(token))
        self.oauth = oauth
        return token

    def Query(self, end_point: str) -> Any:
        """Return the decoded report, {"meta": {}, "data": ...}, for an end point such as "summary?from=-1days&to=now".

        Raises ApiError, whose text is one line for the user.
        """
        url = f"{self.reports_url}/{end_point.lstrip('/')}"
        oauth = self.oauth or self._renew(None)
        try:
            response = oauth.get(url)
        except TokenExpiredError:  # raised before anything is sent
            oauth = self._renew(oauth)
            response = oauth.get(url)
        if is_rejected(response):  # 401, or 400 invalid_request: one new token, one more try
            response = self._renew(oauth).get(url)
        report = read_report(response)
        self.reports_url = regional_base(response, end_point, self.reports_url)
        return report

    def _renew(self, oauth: OAuth2ApiSession | None) -> OAuth2ApiSession:
        """Return the session that replaces `oauth`. The first thread here gets the token, the others wait for it."""
        with self.lock:
            if self.oauth is oauth:
                self.GetToken()
            assert self.oauth  # GetToken has set it
            return self.oauth


def main() -> int:
    """Print the report of each end point as a Python dict; return the exit code."""
    args = cli.arguments(__doc__)
    settings = load_settings()
    api = SecureAccessAPI(
        settings.token_url,
        settings.api_key,
        settings.api_secret,
        reports_url=settings.reports_url,
        org_id=settings.org_id,
        show_token=args.show_token,
    )
    for end_point in args.end_points:
        print(api.Query(end_point), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(cli.run(main, InsecureTransportError))
