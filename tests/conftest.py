"""The fixtures, and an environment in which no test can leave this machine."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
import responses
from helpers import KEY, SAMPLES, SECRET, Api, Clock, Main, Outcome, Sample

from common import errors

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
OURS = ("API_KEY", "API_SECRET", "TOKEN_URL", "REPORTS_URL", "ORG_ID")
OTHERS = ("OAUTHLIB_INSECURE_TRANSPORT", "NETRC", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PYTHONUNBUFFERED")
COLOURS = ("FORCE_COLOR", "PYTHON_COLORS", "COLUMNS")  # how argparse prints its help

# For the scripts as processes, with the Python that comes with macOS; .pytest.ini has it for this one.
os.environ["PYTHONWARNINGS"] = "ignore:urllib3 v2 only supports OpenSSL"


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.script.partition("_")[0])
def sample(request: pytest.FixtureRequest) -> Sample:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def main(sample: Sample, capsys: pytest.CaptureFixture[str]) -> Main:
    """Run the script's command line in this process."""
    return lambda *arguments: Outcome(sample.main(*arguments), *capsys.readouterr())


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Take away the settings of whoever runs the tests, and every name but this machine's."""
    for name in (*OURS, *OTHERS, *COLOURS, *PROXIES, *map(str.lower, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PYTHON_COLORS", "0")  # argparse colours its messages since Python 3.14
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", sys.argv)
    look_up = socket.getaddrinfo

    def look_up_loopback(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up("127.0.0.1", *args, **kwargs)  # not ::1, where nothing listens: Windows is slow to find out

    def look_up_nothing(host: str) -> str:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)
    monkeypatch.setattr(socket, "gethostbyname", look_up_nothing)  # asked by macOS' list of hosts without a proxy
    yield
    errors.sent_secrets.clear()
    for sample in SAMPLES:
        for logger in (logging.getLogger("common"), logging.getLogger(sample.module.__name__)):
            logger.handlers = []
            logger.setLevel(logging.NOTSET)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", KEY)
    monkeypatch.setenv("API_SECRET", SECRET)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock.time)
    monkeypatch.setattr("time.sleep", clock.sleep)
    return clock


@pytest.fixture
def api() -> Iterator[Api]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Api(mock)
