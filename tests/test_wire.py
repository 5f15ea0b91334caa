"""Both samples against a real socket that misbehaves: one line, the right exit code, nothing lost."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import pytest
from helpers import REPORT, ROOT, SUMMARY, Clock, Sample
from wire import Answer, Proxy, Wire, close, http, reset, silence, then

from common import session
from common.answers import ApiError
from common.session import RETRIES

THREADS = 32
TRIES = 1 + RETRIES


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setattr(session, "BACKOFF", 0.001)
    monkeypatch.setattr(session, "TIMEOUT", (5, 0.3))
    with Wire() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def client(sample: Sample, server: Wire) -> Any:
    environ = server.environment()
    return sample.client(environ["TOKEN_URL"], "the-key", "the-secret", environ["REPORTS_URL"])


def failures(err: str) -> list[str]:
    """Return the lines on stderr that tell of failures, without the words of this system in brackets."""
    lines = [line for line in err.splitlines() if not line.startswith("Token: ") and ": trying again" not in line]
    return [re.sub(r" \(.*\)\. ", ". ", line) for line in lines]


NETWORK = "Check the network, the URL, and whether HTTPS_PROXY must be set."
TIMEOUT = "Check the network and any proxy, or ask for less: a shorter period, a smaller limit."
URLS = "Check TOKEN_URL, REPORTS_URL and any proxy on the way."

# name: answer, how often it is asked for, what is said of it, whether the other reports can still be had
MISBEHAVIOUR: dict[str, tuple[Answer, int, str, bool]] = {
    "reset": (reset, TRIES, f"no connection. {NETWORK}", False),
    "close": (close, TRIES, f"no connection. {NETWORK}", False),
    "garbage": (b"garbage\r\n\r\n", TRIES, f"no connection. {NETWORK}", False),
    "silence": (silence, 1, f"no answer in time. {TIMEOUT}", False),
    "stalled head": (then(b"HTTP/1.1 200 OK\r\n", silence), 1, f"no answer in time. {TIMEOUT}", False),
    "stalled body": (then(http()[:-5], silence), 1, f"no answer in time. {TIMEOUT}", False),
    "cut short": (then(http()[:-5], close), 1, f"the answer is damaged or breaks off. {TIMEOUT}", True),
    "bad chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        1,
        f"the answer is damaged or breaks off. {TIMEOUT}",
        True,
    ),
    "bad gzip": (http(Content_Encoding="gzip"), 1, f"the answer is damaged or breaks off. {TIMEOUT}", True),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}",
        1,
        f"an address or an answer is malformed. {URLS}",
        True,
    ),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour_at_the_token(sample: Sample, server: Wire, capsys: pytest.CaptureFixture[str], name: str) -> None:
    answer, requests, words, _ = MISBEHAVIOUR[name]
    server.token_answers = [answer]
    assert sample.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert failures(err) == [f"No token from https://localhost:{server.port}/auth/v2/token: {words}"]
    assert server.wire == ["POST"] * requests


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour_at_a_report(sample: Sample, server: Wire, capsys: pytest.CaptureFixture[str], name: str) -> None:
    answer, requests, words, others = MISBEHAVIOUR[name]
    server.report_answers = [http(), *[answer] * requests, http()]
    assert sample.main("first", "second", "third") == 1
    out, err = capsys.readouterr()
    assert out.count("requests") == (2 if others else 1)
    assert failures(err) == [f"No report from https://localhost:{server.port}/reports/v2/second: {words}"]
    assert server.wire == ["POST"] + ["token-1"] * (1 + requests + others)


@pytest.mark.parametrize("answer", [reset, close, http(503), http(429)])
def test_a_passing_misbehaviour(sample: Sample, server: Wire, answer: Any) -> None:
    token = {"access_token": "a-token", "expires_in": 60}
    server.token_answers = [answer, answer, answer, http(200, token)]
    server.report_answers = [answer, answer, answer, http()]
    assert sample.query(client(sample, server), SUMMARY) == REPORT
    assert server.wire == ["POST"] * TRIES + ["a-token"] * TRIES


def test_refused(sample: Sample, server: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    server.__exit__()
    assert sample.main() == 1
    err = capsys.readouterr().err
    assert failures(err) == [f"No token from https://localhost:{server.port}/auth/v2/token: no connection. {NETWORK}"]
    assert "refused" in err  # the word of every system


def test_an_unknown_host_name(
    sample: Sample, credentials: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "BACKOFF", 0)
    assert sample.main() == 1
    err = capsys.readouterr().err
    assert failures(err) == [
        f"No token from https://api.sse.cisco.com/auth/v2/token: the host name is not known. {NETWORK}"
    ]
    assert "(Name or service not known)" in err


def test_an_earlier_failure_is_no_cause(sample: Sample, server: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    server.token_answers = [http(200, {"access_token": "a-token"}), reset]
    server.report_answers = [http(401, {"message": "earlier"})]
    assert sample.main("first") == 1
    told = capsys.readouterr().err
    assert failures(told) == [f"No token from https://localhost:{server.port}/auth/v2/token: no connection. {NETWORK}"]
    assert "no connection (" in told  # the word of this system
    assert "earlier" not in told


def test_what_the_caller_is_handling_is_no_cause(sample: Sample, server: Wire) -> None:
    server.__exit__()
    try:
        raise OSError("of the caller")
    except OSError:
        with pytest.raises(ApiError, match="no connection") as error:
            sample.query(client(sample, server), SUMMARY)
    assert "of the caller" not in str(error.value)


# TLS and proxies


def test_an_untrusted_certificate(
    sample: Sample, server: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert sample.main() == 1
    err = capsys.readouterr().err
    assert failures(err) == [
        f"No token from https://localhost:{server.port}/auth/v2/token: no trusted TLS connection. "
        "If a proxy opens TLS, set REQUESTS_CA_BUNDLE to a file that holds its CA certificate."
    ]
    assert re.search(r"\(self.signed certificate\)", err)
    assert (server.connections, server.wire) == (1, [])


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_bundle_that_is_none(
    sample: Sample,
    server: Wire,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: Any,
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert sample.main() == 1
    (line,) = failures(capsys.readouterr().err)
    assert "no trusted TLS connection. " in line or "the CA certificates cannot be read. " in line
    assert "REQUESTS_CA_BUNDLE" in line
    assert server.wire == []


@pytest.fixture
def behind_proxy(server: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The default URLs, through a proxy that opens TLS."""
    monkeypatch.delenv("TOKEN_URL")
    monkeypatch.delenv("REPORTS_URL")
    with Proxy(server) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        yield proxy


def test_a_proxy_that_opens_tls(sample: Sample, server: Wire, behind_proxy: Proxy) -> None:
    regional = f"https://api.umbrella.com/reports.eu/v2/{SUMMARY}"
    server.report_answers = [http(302, {}, Location=regional), http()]
    assert sample.main() == 0
    assert [head.split()[1] for head in behind_proxy.heads] == ["api.sse.cisco.com:443", "api.umbrella.com:443"]
    assert all("Bearer" not in head for head in behind_proxy.heads)
    assert server.wire == ["POST"] + ["token-1"] * 3
    assert all("Proxy-Authorization" not in head for head in server.heads)


def test_a_proxy_that_wants_a_password(sample: Sample, behind_proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    behind_proxy.refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    assert sample.main() == 1
    err = capsys.readouterr().err
    assert failures(err) == [
        "No token from https://api.sse.cisco.com/auth/v2/token: the proxy does not work. "
        "Check HTTPS_PROXY, and the user name and password in it."
    ]
    assert "(Tunnel connection failed: 407 Proxy Authentication Required)" in err
    assert len(behind_proxy.heads) == 1


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@127.0.0.1:1", "http://user:hunter2@[", "http://", "socks9://user:hunter2@127.0.0.1:1"]
)
def test_a_proxy_that_is_none(
    sample: Sample, server: Wire, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    assert sample.main() == 1
    (line,) = failures(capsys.readouterr().err)
    assert line.startswith("No token from") and "hunter2" not in line
    assert "proxy" in line
    assert server.wire == []


# One connection, one token


def test_one_connection_and_one_token_for_any_number_of_reports(sample: Sample, server: Wire) -> None:
    api = client(sample, server)
    for _ in range(20):
        sample.query(api, SUMMARY)
    assert (server.connections, server.wire) == (1, ["POST"] + ["token-1"] * 20)


def test_the_connection_outlives_the_token(sample: Sample, server: Wire) -> None:
    api = client(sample, server)
    sample.query(api, SUMMARY)
    server.valid.clear()
    sample.query(api, SUMMARY)
    assert (server.connections, server.wire) == (1, ["POST", "token-1", "token-1", "POST", "token-2"])


def all_at_once(sample: Sample, api: Any) -> list[Any]:
    start = threading.Barrier(THREADS)

    def query(_: int) -> Any:
        start.wait()
        return sample.query(api, SUMMARY)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(query, range(THREADS)))


def test_threads_acquire_and_refresh_one_token(
    sample: Sample, server: Wire, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TIMEOUT", (5, 5))
    api = client(sample, server)
    assert all_at_once(sample, api) == [REPORT] * THREADS
    assert server.wire == ["POST"] + ["token-1"] * THREADS
    clock.now += 4000
    assert all_at_once(sample, api) == [REPORT] * THREADS
    assert server.wire[THREADS + 1 :] == ["POST"] + ["token-2"] * THREADS


def test_threads_replace_a_revoked_token_once(sample: Sample, server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TIMEOUT", (5, 5))
    api = client(sample, server)
    sample.query(api, SUMMARY)
    server.valid.clear()
    server.before_rejection = threading.Barrier(THREADS).wait  # all are rejected before one can ask for a token
    assert all_at_once(sample, api) == [REPORT] * THREADS
    assert sorted(server.wire[2:]) == ["POST"] + ["token-1"] * THREADS + ["token-2"] * THREADS


# The process


def start(sample: Sample, server: Wire, *end_points: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, sample.script, *end_points]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for one process alone")
@pytest.mark.parametrize("when", ["request", "retry"])
def test_ctrl_c(sample: Sample, server: Wire, when: str) -> None:
    asked = threading.Event()

    def ask(connection: Any) -> None:
        asked.set()
        silence(connection)

    server.report_answers = [http(), ask if when == "request" else http(429, {}, Retry_After="25")]
    with start(sample, server, "first", "second", "third") as process:
        assert process.stdout and process.stderr
        lines = [process.stderr.readline()]
        if when == "request":
            assert asked.wait(20)
        else:
            lines.append(process.stderr.readline())
            assert lines[1] == "429: trying again in 25.0 seconds\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert out.count("requests") == 1
    assert err == ""


def test_a_reader_that_has_seen_enough(sample: Sample, server: Wire) -> None:
    server.report_answers = [http(), http(200, {"meta": {}, "data": "x" * 200_000})]
    with start(sample, server, *["report"] * 20) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 0
    assert failures(err) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full(sample: Sample, server: Wire) -> None:
    with open("/dev/full", "w") as full, start(sample, server, stdout=full) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert failures(err) == ["Cannot write the report: No space left on device"]


def test_a_terminal_that_cannot_show_every_name(sample: Sample, server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    server.report_answers = [http(200, {"name": "Zürich", "half": "\ud800"})]
    with start(sample, server, "report") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, failures(err)) == (0, [])
    assert "rich" in out
