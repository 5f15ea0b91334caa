"""What this API asks of any HTTP client: timeouts, retries, and redirects that keep the token."""

from __future__ import annotations

import logging
import random
import time
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader, ReadTimeoutError
from urllib3.util import Retry

from common.answers import no_answer, untrusted_redirect

# One exchange takes at worst four connects, four answers just in time and three pauses: 4 * (6 + 30) + 3 * 30 = 234 s.
# A report takes up to six exchanges where it is redirected, and twice that where its token is rejected.
TIMEOUT = (6.05, 30)  # seconds: to connect (two TCP retransmissions and a bit), then between two pieces of an answer
RETRIES = 3
RETRY_STATUSES = (429, 500, 502, 503, 504)
BACKOFF = 0.5  # seconds before the first retry, doubled for each further one, half of it up or down by chance
RETRY_AFTER_MAX = 30  # seconds; a server that asks for a longer pause is not waited for
MAX_REDIRECTS = 5
# An organization's data may lie in another region; https to these domains is where the token may follow.
TRUSTED_DOMAINS = (".cisco.com", ".umbrella.com")

log = logging.getLogger(__name__)


class ApiRetry(Retry):
    """urllib3's Retry with bounded waits that are told to the user."""

    def increment(self, *args: Any, **kwargs: Any) -> ApiRetry:
        error, response = kwargs.get("error"), kwargs.get("response")
        if isinstance(error, ReadTimeoutError):
            raise error  # what took that long once will again
        if response is not None and (self.get_retry_after(response) or 0) > RETRY_AFTER_MAX:
            Retry(0).increment()  # raises MaxRetryError, upon which urllib3 hands out the response
        return super().increment(*args, **kwargs)

    def get_retry_after(self, response: Any) -> float | None:
        try:
            return super().get_retry_after(response)
        except (InvalidHeader, ValueError, OverflowError):
            return None  # neither seconds nor a date

    def sleep(self, response: Any = None) -> None:
        # Not urllib3's own backoff: it retries at once the first time, without jitter.
        backoff = BACKOFF * 2 ** (len(self.history) - 1) * random.uniform(0.5, 1.5)
        wait = (self.get_retry_after(response) if response else None) or backoff
        log.info("%s: trying again in %.1f seconds", self.history[-1].status or "No connection", wait)
        time.sleep(wait)


def api_adapter() -> HTTPAdapter:
    """Return the adapter that retries; sessions that share one share its connections."""
    # other=0: a certificate that is not trusted, or a proxy that refuses, is no different the second time.
    retry = ApiRetry(RETRIES, other=0, allowed_methods=None, status_forcelist=RETRY_STATUSES, raise_on_status=False)
    return HTTPAdapter(max_retries=retry)


class ApiSession(requests.Session):
    """A requests.Session for this API, by itself or as the first base of another kind of session.

    `adapter`: the connections to use, where several sessions share them. Every failure to get an answer is an ApiError.
    """

    def __init__(self, adapter: HTTPAdapter | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        adapter = adapter or api_adapter()
        self.mount("https://", adapter)
        self.mount("http://", adapter)  # config.py allows it for loopback only
        self.auth = lambda request: request  # without an auth of its own, a session looks for one in ~/.netrc
        self.max_redirects = MAX_REDIRECTS

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT  # OAuth2Session.fetch_token passes None
        try:
            response = super().request(method, url, *args, **kwargs)
        except (OSError, ValueError) as error:  # requests lets some of either slip through
            raise no_answer(error, method, url) from error
        response.encoding = "utf-8"  # JSON is (RFC 8259), whatever the header says
        return response

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Before each redirect: keep the token where it is trusted, else refuse to go there.

        requests would drop the token with the host, and ask ~/.netrc for another one.
        """
        url = str(prepared_request.url)
        target = urlsplit(url)
        regional = target.scheme == "https" and (target.hostname or "").endswith(TRUSTED_DOMAINS)
        if response.request.method != "GET" or (self.should_strip_auth(response.url, url) and not regional):
            raise untrusted_redirect(response, url)
        log.info("Redirected to %s://%s%s", target.scheme, target.hostname, target.path)


def regional_base(response: requests.Response, end_point: str, base: str) -> str:
    """Return the base URL under which `end_point` was answered: `base`, or the one it was redirected to."""
    url = urlsplit(response.url)
    path = "/" + end_point.partition("?")[0]
    if not (response.history and url.path.endswith(path)):
        return base
    return f"{url.scheme}://{url.netloc}{url.path[: -len(path)]}"
