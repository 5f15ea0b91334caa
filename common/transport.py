"""What this API asks of any HTTP client: time limits, retries, and redirects that keep the token."""

from __future__ import annotations

import logging
import os
import random
import re
import time
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ProxyError, ReadTimeout, SSLError

from .api import ApiError, explain, not_followed, one_line

TIMEOUT = (6.05, 30.0)  # seconds to connect (two TCP retransmissions and a bit), and between two pieces of a response
BACKOFF = (0.5, 1, 2)  # seconds before each retry, give or take half of them at random
RETRY_AFTER_MAX = 30  # seconds; a server that asks for more is not waited for
RETRY_STATUSES = (429, 500, 502, 503, 504)
RETRY_ERRORS = (requests.ConnectionError, ReadTimeout, ChunkedEncodingError)
FINAL = re.compile("CERTIFICATE_VERIFY_FAILED|NameResolutionError(?!.*Temporary)|Tunnel connection failed: 4")
IDLE_MAX = 60  # seconds, after which a firewall may have forgotten a connection
TRUSTED = re.compile(r"https://([a-z0-9-]+\.)+(cisco|umbrella)\.com(:[0-9]+)?/", re.I)  # hosts of other regions

# What to do where there is no response: the first row whose kind the exception is of.
NO_RESPONSE_REMEDIES: tuple[tuple[Any, str], ...] = (
    (ProxyError, "Check HTTPS_PROXY, its user name and password, or ask the proxy's administrators."),
    (SSLError, "Check the URL, REQUESTS_CA_BUNDLE and this machine's clock; see Troubleshooting in README.md."),
    ((ReadTimeout, ChunkedEncodingError), "Try again; for a report, use a shorter period or a smaller limit."),
    (requests.ConnectionError, "Check the network, the URL, and whether HTTPS_PROXY must be set."),
    (requests.RequestException, "Check the URL and HTTPS_PROXY; see Troubleshooting in README.md."),
    (OSError, "Check REQUESTS_CA_BUNDLE, which must name a file of certificates in PEM format."),
)

AnySession = TypeVar("AnySession", bound=requests.Session)
log = logging.getLogger(__name__)


class RetryAdapter(HTTPAdapter):
    """Sends a request, reads the whole response, and tries again where that may help; or raises ApiError."""

    process, last_use = 0, 0.0  # process ID, seconds since the epoch

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        for pause in (*BACKOFF, None):  # None: no retry is left
            seconds, started = (pause or 0) * random.uniform(0.5, 1.5), time.monotonic()
            try:
                response = self._send_once(request, *args, **kwargs)
            except OSError as error:  # a RequestException, or a CA file that is missing
                reason, too_slow = root_words(error), time.monotonic() - started >= TIMEOUT[1]
                if pause is None or too_slow or not isinstance(error, RETRY_ERRORS) or FINAL.search(str(error)):
                    remedy = next(remedy for kind, remedy in NO_RESPONSE_REMEDIES if isinstance(error, kind))
                    raise ApiError(explain(request, f"{type(error).__name__} ({reason})", remedy)) from error
            else:
                if request.method == "POST" and response.is_redirect:  # a session would follow it with the secret
                    raise not_followed(response)
                retry_after = response.headers.get("Retry-After", "")
                seconds = int(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else seconds
                if pause is None or response.status_code not in RETRY_STATUSES or seconds > RETRY_AFTER_MAX:
                    return response
                reason = f"{response.status_code} {response.reason}"
            log.info("Trying again in %.1f seconds: %s", seconds, reason)
            time.sleep(seconds)

    def _send_once(self, *args: Any, **kwargs: Any) -> requests.Response:
        if self.process != os.getpid() or time.time() - self.last_use > IDLE_MAX:
            self.close()  # after a fork, the processes would read each other's responses
        self.process, self.last_use = os.getpid(), time.time()
        response = super().send(*args, **kwargs)
        if response.status_code < 200:
            self.close()  # http.client takes 103 Early Hints for the response, which is still to come
        response.content  # read here, so that a response that breaks off is requested again
        return response


def with_retries(session: AnySession) -> AnySession:
    """Give a session time limits and retries, of any POST too; it raises ApiError where there is no response."""
    for prefix in ("https://", "http://"):
        session.mount(prefix, RetryAdapter())
    session.auth = lambda request: request  # without an auth of its own, a session takes a password from ~/.netrc
    return session


def get(session: requests.Session, base: str, end_point: str, **kwargs: Any) -> tuple[requests.Response, str]:
    """Return the response to `GET base/end_point`, and the base URL under which the end point was found.

    Follows redirects to trusted hosts with the token, which requests would drop; raises ApiError for any other.
    """
    path = "/" + end_point.lstrip("/").replace("#", "%23")  # what follows a # would not be sent
    url = base.rstrip("/") + path
    for _ in range(6):  # five redirects
        response = session.get(url, allow_redirects=False, **kwargs)
        if response.next is None:
            found, path = response.url.partition("?")[0], path.partition("?")[0]
            return response, found[: -len(path)] if found.endswith(path) else base
        url = str(response.next.url)
        # The sandbox plays another host, on the same port of this machine.
        old, new = (each.replace("//127.0.0.1:", "//localhost:") for each in (response.url, url))
        if session.should_strip_auth(old, new) and not TRUSTED.match(url):
            break
        log.info("Redirected to %s", url)
    raise not_followed(response)


def root_words(error: BaseException) -> str:
    """Return the innermost exception's words, such as "Connection refused": requests and urllib3 wrap it in theirs."""
    for inner in (error.__cause__, *error.args):
        if isinstance(inner, Exception) and not isinstance(inner, AttributeError):  # a detail of urllib3's
            return root_words(inner)
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # What urllib3 cannot parse may be a proxy's URL, with a password.
    return one_line(re.sub(r"^\[SSL.*?\] |^\w+\(.*?\): | \(_ssl.*\)$|(?<=Failed to parse):.*", "", words))
