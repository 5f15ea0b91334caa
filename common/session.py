"""What a session needs for this API: time limits, retries, redirects with the token."""

from __future__ import annotations

import logging
import os
import random
import re
import socket
import ssl
import time
from typing import Any, TypeVar
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import (
    ChunkedEncodingError,
    InvalidSchema,
    InvalidURL,
    ReadTimeout,
    SSLError,
)

from .errors import hide_credentials, one_line, root_cause, system_words
from .responses import UnusableResponse

TIMEOUT = (6.05, 30.0)  # seconds to connect, and between two pieces of a response
BACKOFF = (0.5, 1, 2, 4)  # seconds before each retry, give or take half of them
RETRY_AFTER_MAX = 30  # seconds; if a server asks for more, give up
IDLE_MAX = 60  # seconds, after which a firewall may have forgotten a connection

RETRY_STATUSES = (429, 500, 502, 503, 504)
RETRY_ERRORS = (requests.ConnectionError, ReadTimeout, ChunkedEncodingError)

# Cisco's hosts: the API redirects to the region that holds the data, such as
# https://api.umbrella.com/reports.eu/v2.
API_HOST = re.compile(r"https://api\.([a-z0-9-]+\.)*(cisco|umbrella)\.com(:443)?/")

AnySession = TypeVar("AnySession", bound=requests.Session)
log = logging.getLogger(__name__)


def with_retries(session: AnySession) -> AnySession:
    """Give a session time limits, retries, and redirects with the token; return it.

    Its former adapters and auth are dropped. Whatever goes wrong on the network is
    raised as a requests.RequestException, but for a Location that requests cannot parse
    (ValueError). Any request may be sent more than once, so do not use it for one that
    must not be repeated, nor for a body that is a file.
    """
    adapter = RetryAdapter(pool_maxsize=32)  # connections kept, one for each thread
    session.adapters.clear()
    session.max_redirects = 5
    # Plain http is for a server on this machine alone.
    for prefix in ("https://", "http://127.0.0.1:", "http://localhost:"):
        session.mount(prefix, adapter)
    # Without an auth of its own, a session sends a password of ~/.netrc in place of
    # the token. One that it had is dropped: a redirect would carry it elsewhere.
    session.auth = lambda request: request

    def rebuild_auth(prepared_request: Any, response: requests.Response) -> None:
        """Refuse a redirect, or keep the token, which requests might drop."""
        url = prepared_request.url
        if not may_follow(response, url):
            problem = f"redirected to {url}, which is not followed"
            raise UnusableResponse(problem, response)
        shown = one_line(hide_credentials(url, prepared_request))
        log.info("Redirected to %s (to avoid this, set REPORTS_URL)", shown)

    session.rebuild_auth = rebuild_auth  # type: ignore[method-assign]
    return session


def may_follow(response: requests.Response, url: str) -> bool:
    """Return whether a redirect to this URL may be followed with the token."""
    # The secret, which is sent by POST, goes nowhere but to TOKEN_URL.
    if response.request.method == "POST":
        return False
    if API_HOST.match(url.lower()):
        return True
    return origin_of(url) == origin_of(response.url)


def origin_of(url: str) -> str:
    """Return the scheme, host and port of a URL, with localhost as 127.0.0.1."""
    return urljoin(url, "/").replace("//localhost:", "//127.0.0.1:")


def report_url(base: str, end_point: str) -> str:
    """Return the URL of a report."""
    # What follows a "#" would not be sent.
    return f"{base.rstrip('/')}/{end_point.lstrip('/')}".replace("#", "%23")


class RetryAdapter(HTTPAdapter):
    """Sends a request and reads the whole response; tries again where that may help.

    urllib3's Retry would not do. It never sees a body that breaks off. It tries an
    untrusted certificate and a proxy's 407 again or, with other=0, not even a handshake
    that breaks off. And on Python 3.8 it has no limit for Retry-After.
    """

    process_id = 0
    last_use = 0.0  # seconds since the epoch

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["timeout"] = kwargs.get("timeout") or TIMEOUT
        if request.url.startswith("http://"):
            # Within this machine: nothing for a proxy.
            kwargs["proxies"] = {}
        try:
            return self._send_with_retries(request, *args, **kwargs)
        except InvalidSchema:
            # PySocks is missing. It is a ValueError too, but shows no password.
            raise
        except (ValueError, TypeError):
            # Without its words and its cause, which may hold the password of a proxy.
            raise InvalidURL(
                "the URL, a header, the proxy's URL or a time limit is invalid",
                request=request,
            ) from None
        except requests.RequestException as error:
            # One that is raised while the body is read has no request.
            error.request = request
            raise
        except OSError as error:  # there is no file of certificates by that name
            raise SSLError(error, request=request) from error

    def _send_with_retries(
        self, request: Any, *args: Any, **kwargs: Any
    ) -> requests.Response:
        for backoff in BACKOFF:
            pause = backoff * random.uniform(0.5, 1.5)
            started = time.monotonic()
            try:
                response = self._send_once(request, *args, **kwargs)
            except RETRY_ERRORS as error:
                waited = time.monotonic() - started
                if not retry_may_help(error, waited):
                    raise
                reason = system_words(error)
            else:
                if response.status_code not in RETRY_STATUSES:
                    return response
                retry_after = response.headers.get("Retry-After", "")
                if retry_after.isdecimal():
                    pause = max(pause, float(retry_after))
                if pause > RETRY_AFTER_MAX:
                    return response
                reason = f"{response.status_code} {response.reason}"
            shown = one_line(hide_credentials(reason, request))
            log.info("Trying again in %.1f seconds: %s", pause, shown)
            time.sleep(pause)
        return self._send_once(request, *args, **kwargs)

    def _send_once(self, *args: Any, **kwargs: Any) -> requests.Response:
        # Two processes on one connection would read each other's responses.
        forked = self.process_id != os.getpid()
        idle = time.time() - self.last_use > IDLE_MAX
        if forked or idle:
            self.close()
        self.process_id = os.getpid()
        self.last_use = time.time()
        response = super().send(*args, **kwargs)
        if response.status_code < 200:
            # http.client takes 103 Early Hints for the response, which is yet to come.
            self.close()
        # Read the body here, so that a response that breaks off is requested again.
        response.content
        return response


def retry_may_help(error: requests.RequestException, waited: float) -> bool:
    """Return whether the same request may succeed a moment later."""
    cause = root_cause(error)
    # A silent server has had its 30 seconds; a handshake that stalls has had only 6.
    if isinstance(cause, socket.timeout) and waited >= TIMEOUT[1]:
        return False
    if isinstance(cause, ssl.SSLError):
        # A handshake that breaks off may succeed, an untrusted certificate will not.
        return isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    if isinstance(cause, socket.gaierror):
        return cause.errno == socket.EAI_AGAIN
    # The words are all that http.client tells of a proxy that refuses (403, 407).
    return "Tunnel connection failed: 4" not in str(cause)
