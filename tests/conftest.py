"""The fixtures, and an environment in which no test can leave this machine."""

import functools
import logging
import os
import signal
import socket
import sys
from types import SimpleNamespace

import pytest
import responses
from helpers import KEY, SAMPLES, SECRET, FakeApi, Outcome, run_here

from common import session
from common.config import load_settings

# For the processes that tests start: see .pytest.ini.
os.environ["PYTHONWARNINGS"] = "ignore:urllib3 v2 only supports OpenSSL"
# A job in the background ignores Ctrl-C, and so would the processes it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=SAMPLES)
def sample(request):
    return SAMPLES[request.param]


@pytest.fixture
def client(sample):
    return sample.client(**load_settings())


@pytest.fixture
def query(sample, client):
    """A function that requests a report, with the same client each time."""
    return functools.partial(sample.query, client)


@pytest.fixture
def main(sample, capsys):
    """The script's command, in this process."""

    def script(*arguments):
        code = run_here(sample.module.main, *arguments)
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return script


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch, tmp_path):
    """Take away the settings of whoever runs the tests."""
    endings = ("_url", "_proxy", "_ca_bundle", "netrc", "org_id", "_transport")
    for name in list(os.environ):
        if name.lower().endswith(endings):
            monkeypatch.delenv(name)
    home = str(tmp_path)
    settings = {"API_KEY": KEY, "API_SECRET": SECRET, "HOME": home, "USERPROFILE": home}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(session, "BACKOFF", (0.001, 0.002, 0.003, 0.004))


@pytest.fixture(autouse=True)
def levels_of_the_log():
    """Take back the levels that run() sets, once in a process."""
    yield
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def this_machine_alone(monkeypatch):
    """Take away every name but this machine's."""
    look_up = socket.getaddrinfo

    def look_up_loopback(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        # Not ::1, where nothing listens: Windows is slow to find out.
        return look_up("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_loopback)
    # macOS asks this one for hosts without a proxy.
    monkeypatch.setattr(socket, "gethostbyname", look_up_loopback)


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
def api(api_without_token):
    """The API, which issues TOKEN."""
    api_without_token.token()
    return api_without_token


@pytest.fixture
def api_without_token():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield FakeApi(mock)
