"""Both samples behind one interface, and the API as `responses` plays it."""

import logging
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any, Callable, NamedTuple
from unittest.mock import patch

import pytest

import oauthlib_api_sample_client
import requests_api_sample_client
from common import cli
from common.config import REPORTS_URL, TOKEN_URL

ROOT = Path(__file__).resolve().parent.parent
KEY = "the-api-key"
SECRET = "the-api-secret"
TOKEN = "eyJ0b2tlbiI6IjEifQ.abcdefghijklm.nopqrstuvwxyz"
SECOND = "eyJ0b2tlbiI6IjIifQ.abcdefghijklm.nopqrstuvwxyz"
SUMMARY = "summary?from=-1days&to=now"
SUMMARY_URL = f"{REPORTS_URL}/{SUMMARY}"
REPORT = {"meta": {}, "data": {"requests": 3}}


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def failure(self):
        """The one line of stderr that tells of a failure, as the exit code does."""
        assert self.code > 0
        routine = ("Token: ", "Trying again in ", "Redirected to ")
        lines = [line for line in self.err.splitlines() if not line.startswith(routine)]
        assert len(lines) == 1, self.err
        return lines[0]


class Sample(NamedTuple):
    """One of the two scripts."""

    name: str
    module: Any
    client: Callable
    query: Callable

    @property
    def script(self):
        return f"{self.name}_api_sample_client.py"


OAUTHLIB = Sample(
    "oauthlib",
    oauthlib_api_sample_client,
    oauthlib_api_sample_client.SecureAccessAPI,
    oauthlib_api_sample_client.SecureAccessAPI.Query,
)
REQUESTS = Sample(
    "requests",
    requests_api_sample_client,
    requests_api_sample_client.secureAccessAPI,
    requests_api_sample_client.callSecureAccessApi,
)
SAMPLES = {"oauthlib": OAUTHLIB, "requests": REQUESTS}

# For promises of common/, which one of the scripts shows as well as both.
one_sample = pytest.mark.parametrize("sample", ["requests"], indirect=True)


class FakeApi:
    """Token endpoint and Reporting API; the last response is sent again and again."""

    def __init__(self, mock):
        self.mock = mock

    def token(self, access_token=TOKEN, **fields):
        """Answer a token request."""
        body = {"token_type": "Bearer", "access_token": access_token}
        self.token_response(json={**body, "expires_in": 3600, **fields})

    def token_response(self, **response):
        """Answer a token request with something else."""
        self.mock.post(TOKEN_URL, **response)

    def report(self, url=SUMMARY_URL, **response):
        """Answer a request for a report, by default with REPORT."""
        self.mock.get(url, **(response or {"json": REPORT}))

    def redirect(self, target, url=SUMMARY_URL):
        self.report(url, status=302, headers={"Location": target})

    @property
    def requests(self):
        return [call.request for call in self.mock.calls]

    @property
    def urls(self):
        """Where requests for reports were sent, in order."""
        return [request.url for request in self.requests if request.method == "GET"]

    @property
    def sent(self):
        """What was sent, in order: "POST" for a token, the token for a report."""
        return [credentials_of(request) for request in self.requests]


def credentials_of(request):
    scheme, _, credentials = request.headers["Authorization"].partition(" ")
    if scheme == "Basic":
        return request.method
    return credentials


def run_here(main, *arguments):
    """Run a main function as a command of this process, and return its exit code."""
    sys.argv = ["program.py", *arguments]
    # With the handlers of pytest, the command would leave the log to them.
    with patch.object(logging.getLogger(), "handlers", []):
        return cli.run(main)


def run(*arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT):
    """Run this Python at the top of the repository, as a user does."""
    done = subprocess.run(
        [sys.executable, *arguments],
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        text=True,
        timeout=60,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
