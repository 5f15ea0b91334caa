"""What this API asks of any HTTP client: timeouts, retries, whole answers, and redirects that keep the token."""

from __future__ import annotations

import logging
import math
import random
import re
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from common.errors import ApiError, cause_of, hide_secrets, no_answer, shown_url, status_of, untrusted_redirect

TIMEOUT = (6.05, 30)  # seconds: to connect (two TCP retransmissions and a bit), then between two pieces of an answer
ANSWER_TIME = 300  # seconds for a whole answer
ANSWER_MAX = 128 * 1024 * 1024  # bytes, unpacked
RETRIES = 3
RETRY_STATUSES = (429, 500, 502, 503, 504)
BACKOFF = 0.5  # seconds before the first retry, doubled for each further one, plus or minus half of it at random
RETRY_AFTER_MAX = 30  # seconds; a server that asks for a longer pause is not waited for
MAX_REDIRECTS = 5
# An organization's data may lie in another region; https to these domains is where the token may follow.
TRUSTED_DOMAINS = (".cisco.com", ".umbrella.com")

log = logging.getLogger(__name__)


class ApiAdapter(HTTPAdapter):
    """Makes an exchange whole: sends the request, reads all of the answer, and tries again where that may help.

    Sessions that share an adapter share its connections.
    """

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # ignored: every answer is read here
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Return the answer, with its body; raise ApiError where there is none."""
        hide_secrets(request)
        timeout = timeout or TIMEOUT
        read_timeout = timeout[1] if isinstance(timeout, tuple) else timeout
        if str(request.url).startswith("http:"):  # for loopback (config.py refuses others), where no proxy belongs
            proxies = {}
        retries = 0
        while True:
            pause = BACKOFF * 2**retries * random.uniform(0.5, 1.5)
            started = time.monotonic()
            try:
                response = self._exchange(request, timeout, verify, cert, proxies)
            except Exception as error:  # those of urllib3 and http.client too, of which requests lets some through
                cause = cause_of(error, read_timed_out=time.monotonic() - started >= (read_timeout or math.inf))
                if retries == RETRIES or not cause.temporary:
                    raise no_answer(cause, error, request) from error
                reason = cause.words
            else:
                retry_after = _retry_after(response)
                if retries == RETRIES or response.status_code not in RETRY_STATUSES or retry_after > RETRY_AFTER_MAX:
                    return response
                pause, reason = retry_after or pause, status_of(response)
            retries += 1
            log.info("Trying again in %.1f seconds: %s", pause, reason)
            time.sleep(pause)

    def _exchange(self, request: requests.PreparedRequest, *args: Any) -> requests.Response:
        deadline = time.monotonic() + ANSWER_TIME
        pieces, size = [], 0
        with super().send(request, True, *args) as response:
            for piece in response.iter_content(65536):
                pieces.append(piece)
                size += len(piece)
                if size > ANSWER_MAX:
                    raise OverflowError
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not whole after {ANSWER_TIME} seconds")
        # http.client takes a connection that is closed among the headers for their end.
        has_length = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
        if response.status_code == 200 and not size and not has_length:
            raise ConnectionError("the answer ends in its headers")
        response._content = b"".join(pieces)
        response.encoding = "utf-8"  # JSON is (RFC 8259), whatever the header says
        return response

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        # No cookies: an API client needs none, and http.cookiejar prints a traceback for a malformed one.
        resp._original_response.msg = HTTPMessage()
        return super().build_response(req, resp)


class ApiSession(requests.Session):
    """A requests.Session for this API, by itself or as the first base of another kind of session.

    `adapter`: the connections to use, where several sessions share them. A request that fails once sent is an ApiError.
    """

    def __init__(self, adapter: ApiAdapter | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        adapter = adapter or ApiAdapter()
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self.auth = lambda request: request  # without an auth of its own, a session looks for one in ~/.netrc
        self.max_redirects = MAX_REDIRECTS

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        try:
            return super().send(request, **kwargs)
        except ApiError:
            raise
        except Exception as error:  # of a redirect: too many, or to a malformed address
            raise no_answer(cause_of(error), error, request) from error

    def resolve_redirects(self, *args: Any, yield_requests: bool = False, **kwargs: Any) -> Any:
        # With allow_redirects=False, requests would prepare the next request, as if it were to be sent.
        return iter(()) if yield_requests else super().resolve_redirects(*args, **kwargs)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Before each redirect: keep the token where it is trusted, else refuse to go there.

        requests would drop the token with the host, and ask ~/.netrc for another one.
        """
        url = str(prepared_request.url)
        target = urlsplit(url)
        host = target.hostname or ""
        is_dns_name = re.fullmatch(r"([a-z0-9-]{1,63}\.)+[a-z]+", host)
        # A port that is no number raises ValueError.
        regional = target.scheme == "https" and target.port != 0 and is_dns_name and host.endswith(TRUSTED_DOMAINS)
        trusted = regional or not self.should_strip_auth(response.url, url)
        if response.request.method != "GET" or "@" in target.netloc or not trusted:
            raise untrusted_redirect(response, url)
        log.info("Redirected to %s", shown_url(url))


def regional_base(response: requests.Response, end_point: str, base: str) -> str:
    """Return the base URL under which `end_point` was answered: `base`, or the one it was redirected to."""
    url = urlsplit(response.url)
    path = "/" + end_point.lstrip("/").partition("?")[0]
    moved = response.history and url.path.endswith(path)
    return f"{url.scheme}://{url.netloc}{url.path[: -len(path)]}" if moved else base


def _retry_after(response: requests.Response) -> float:
    """Return the seconds that the server asks to wait; 0 where it asks for none, or for nonsense."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        return int(value) if value.isdecimal() else max(0, parsedate_to_datetime(value).timestamp() - time.time())
    except Exception:  # the parser of the standard library raises several kinds
        return 0
