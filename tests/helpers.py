"""Both samples behind one interface, the API as `responses` plays it, and a clock that nobody waits for."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterator, NamedTuple

import responses

import oauthlib_api_sample_client
import requests_api_sample_client
from common import cli, errors
from common.config import REPORTS_URL, TOKEN_URL

ROOT = Path(__file__).resolve().parent.parent
KEY, SECRET = "the-key", "the-secret"
TOKEN = "eyJ0b2tlbiI6IjEifQ.abcdefghijklmnopqrstuvwxyz"
SECOND = "eyJ0b2tlbiI6IjIifQ.abcdefghijklmnopqrstuvwxyz"
SUMMARY = "summary?from=-1days&to=now"
REPORT = {"meta": {}, "data": {"requests": 3}}


class Sample(NamedTuple):
    """One of the two scripts."""

    module: ModuleType
    client: Callable[..., Any]
    query: Callable[[Any, str], Any]
    new_token: Callable[[Any], str]
    margin: int  # seconds before its expiry at which a token that lives for an hour is refreshed
    prints_json: bool  # indented; else a Python dict on a line

    @property
    def script(self) -> str:
        return f"{self.module.__name__}.py"

    def new(self, **options: Any) -> Any:
        return self.client(TOKEN_URL, KEY, SECRET, **options)

    def main(self, *arguments: str) -> int:
        """Run the script's command line in this process and return its exit code."""
        sys.argv = [self.script, *arguments]
        return cli.run(self.module.main)


SAMPLES = [
    Sample(
        oauthlib_api_sample_client,
        oauthlib_api_sample_client.SecureAccessAPI,
        lambda api, end_point: api.Query(end_point),
        lambda api: api.GetToken()["access_token"],
        margin=0,
        prints_json=False,
    ),
    Sample(
        requests_api_sample_client,
        requests_api_sample_client.secureAccessAPI,
        requests_api_sample_client.callSecureAccessApi,
        lambda api: api.getAccessToken(),
        margin=60,
        prints_json=True,
    ),
]


class Outcome(NamedTuple):
    """What a script's command line did."""

    code: int
    out: str
    err: str

    @property
    def reports(self) -> int:
        return self.out.count("requests")

    @property
    def failure(self) -> str:
        """The one line that tells of a failure."""
        assert self.code == 1
        (line,) = failures(self.err)
        return line

    @property
    def failure_without_details(self) -> str:
        """The same, without the words of this system in parentheses."""
        return re.sub(r" \([^\"].*?\)\. ", ". ", self.failure)


Main = Callable[..., Outcome]


class Clock:
    """Takes the place of time.time and time.sleep: nothing waits."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Api:
    """The token endpoint and the Reporting API as `responses` plays them."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock

    def token(self, *names: str, **fields: Any) -> None:
        """Answer the next token requests with one token each, repeating the last one."""
        for name in names:
            body = {"access_token": name, **(fields or {"token_type": "bearer", "expires_in": 3600})}
            self.mock.post(TOKEN_URL, json=body)

    def report(self, end_point: str = SUMMARY, base: str = REPORTS_URL, **answer: Any) -> None:
        """Answer the next request for a report, and later ones unless there is a further answer."""
        self.mock.get(f"{base}/{end_point}", **(answer or {"json": REPORT}))

    @property
    def requests(self) -> list[Any]:
        return [call.request for call in self.mock.calls]

    @property
    def wire(self) -> list[str]:
        """What was sent, in order: `POST` for a token, the bearer token for a report."""
        return [
            "POST" if request.method == "POST" else request.headers["Authorization"].replace("Bearer ", "")
            for request in self.requests
        ]


def failures(err: str) -> list[str]:
    """Return the lines on stderr that tell of failures."""
    return [line for line in err.splitlines() if not re.match("Token: |Trying again|Redirected to", line)]


def no_answer(asked_for: str, url: str, words: str, system: str = "") -> str:
    """Return the line that tells of a cause, with the words of this system, if any."""
    (remedy,) = {cause.remedy for _, _, cause in errors.CAUSES if cause.words == words}
    told = f"{words} ({system})" if system else words
    return f"Could not get a {asked_for} from {url}: {told}. {remedy}"


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this Python at the top of the repository, as a user does."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, text=True, timeout=60, **pipes)


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run this Python in a process of its own, until the end of the block at the latest."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    # A job in the background ignores Ctrl-C, and so would its children.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, text=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, previous)
    with process:
        try:
            yield process
        finally:
            process.kill()
