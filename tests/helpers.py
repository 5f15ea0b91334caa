"""Both samples behind one interface, and the API as `responses` plays it."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

import oauthlib_api_sample_client
import requests_api_sample_client
from common import cli
from common.config import REPORTS_URL, TOKEN_URL

ROOT = Path(__file__).resolve().parent.parent
KEY, SECRET = "the-key", "the-secret"
TOKEN, SECOND = (f"eyJ0b2tlbiI6Ij{number}ifQ.abcdefghijklm.nopqrstuvwxyz" for number in "12")
SUMMARY = "summary?from=-1days&to=now"
REPORT = {"meta": {}, "data": {"requests": 3}}


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def failure(self):
        """The one line that tells of a failure."""
        routine = ("Token: ", "Trying again in ", "Redirected to ")
        (line,) = (line for line in self.err.splitlines() if not line.startswith(routine))
        return line


class Sample(NamedTuple):
    """One of the two scripts."""

    module: Any
    client: Callable
    query: Callable
    lifetime: float  # the part of a token's lifetime for which it is used

    @property
    def script(self):
        return f"{self.module.__name__}.py"

    def new(self, token_url=TOKEN_URL, key=KEY, secret=SECRET, **options):
        return self.client(token_url, key, secret, **options)

    def main(self, *arguments):
        """Run the script's command line in this process and return its exit code."""
        sys.argv = [self.script, *arguments]
        return cli.run(self.module.main)


oauthlib, requests = oauthlib_api_sample_client, requests_api_sample_client
SAMPLES = [
    Sample(oauthlib, oauthlib.SecureAccessAPI, oauthlib.SecureAccessAPI.Query, 1),
    Sample(requests, requests.secureAccessAPI, requests.callSecureAccessApi, 0.9),
]

one_sample = pytest.mark.parametrize("sample", [0], indirect=True)  # for promises of common/ alone


class Api:
    def __init__(self, mock):
        self.mock = mock

    def token(self, *names, **fields):
        """Answer token requests with one token each, repeating the last one."""
        for name in names:
            self.mock.post(TOKEN_URL, json={"access_token": name, **(fields or {"expires_in": 3600})})

    def report(self, end_point=SUMMARY, base=REPORTS_URL, **answer):
        """Answer the next request for a report, and later ones unless there is a further answer."""
        self.mock.get(f"{base}/{end_point}", **(answer or {"json": REPORT}))

    def redirect(self, source, target, status=302):
        self.mock.get(source, status=status, headers={"Location": target})

    @property
    def requests(self):
        return [call.request for call in self.mock.calls]

    @property
    def wire(self):
        """What was sent, in order: `POST` for a token, the bearer token for a report."""
        sent = [request.headers["Authorization"].partition(" ") for request in self.requests]
        return ["POST" if scheme == "Basic" else token for scheme, _, token in sent]


def run(*arguments, **options):
    """Run this Python at the top of the repository, as a user does."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, **options}
    done = subprocess.run([sys.executable, *arguments], text=True, timeout=60, **pipes)
    return Outcome(done.returncode, done.stdout, done.stderr)
