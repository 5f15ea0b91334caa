"""The fixtures, and an environment in which no test can leave this machine."""

import logging
import os
import signal
import socket
import sys
from types import SimpleNamespace

import pytest
import responses
from helpers import KEY, SAMPLES, SECRET, Api, Outcome

from common import transport

SETTINGS = ("API_KEY", "API_SECRET", "ORG_ID", "OAUTHLIB_INSECURE_TRANSPORT", "NETRC", "PYTHONUNBUFFERED")

os.environ["PYTHONWARNINGS"] = "ignore:urllib3 v2 only supports OpenSSL"  # for processes, see .pytest.ini
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and so do its children


@pytest.fixture(params=[0, 1], ids=["oauthlib", "requests"])
def sample(request):
    return SAMPLES[request.param]


@pytest.fixture
def main(sample, capsys):
    """Run the script's command line in this process."""
    return lambda *arguments: Outcome(sample.main(*arguments), *capsys.readouterr())


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch, tmp_path):
    """Take away the settings of whoever runs the tests, and every name but this machine's."""
    for name in list(os.environ):
        if name in SETTINGS or name.lower().endswith(("_url", "_proxy", "_ca_bundle")):
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(transport, "BACKOFF", (0.001, 0.002, 0.004))
    look_up = socket.getaddrinfo

    def look_up_loopback(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up("127.0.0.1", *args, **kwargs)  # not ::1, where nothing listens: Windows is slow to find out

    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)
    monkeypatch.setattr(socket, "gethostbyname", look_up_loopback)  # macOS asks it for hosts without a proxy
    yield
    for name in ("common", *(sample.module.__name__ for sample in SAMPLES)):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("API_KEY", KEY)
    monkeypatch.setenv("API_SECRET", SECRET)


@pytest.fixture
def clock(monkeypatch):
    """Take the place of time.time and time.sleep: nothing waits."""
    clock = SimpleNamespace(now=1_800_000_000.0, slept=[])

    def sleep(seconds):
        clock.slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr("time.time", lambda: clock.now)
    monkeypatch.setattr("time.sleep", sleep)
    return clock


@pytest.fixture
def api():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Api(mock)
