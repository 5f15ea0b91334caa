"""Both samples against real sockets that misbehave: nothing is lost, or one line names the true cause."""

from __future__ import annotations

import gzip
import re
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from helpers import KEY, REPORT, SAMPLES, SECRET, SUMMARY, Clock, Main, Sample, failures, no_answer, started
from wire import CERTIFICATE, Answer, Proxy, Wire, close, http, reset, silence, then, token

from common import session
from common.errors import ApiError
from common.sandbox import Sandbox
from common.session import RETRIES, ApiSession

THREADS = 32
TRIES = 1 + RETRIES
TOKEN_ANSWER = token("token-0")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "BACKOFF", 0.001)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    with Wire() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def behind_proxy(server: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The default URLs, through a proxy that opens TLS."""
    monkeypatch.delenv("TOKEN_URL")
    monkeypatch.delenv("REPORTS_URL")
    with Proxy(server) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        yield proxy


def client(sample: Sample, server: Wire) -> Any:
    return sample.client(server.token_url, KEY, SECRET, reports_url=server.reports_url)


# What is tried again


PROBLEMS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "handshake stalled": ("greeting", silence),
    "handshake closed": ("greeting", close),
    "handshake reset": ("greeting", reset),
    "closed": ("answer", close),
    "reset": ("answer", reset),
    "broken off": ("answer", then(http()[:-5], close)),
}


@pytest.mark.parametrize("through", ["directly", "proxy"])
@pytest.mark.parametrize("at", ["token", "report"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_goes_wrong_once_is_survived(
    sample: Sample, server: Wire, monkeypatch: pytest.MonkeyPatch, request: Any, problem: str, at: str, through: str
) -> None:
    monkeypatch.setattr(session, "TIMEOUT", (0.2 if problem == "handshake stalled" else 5, 20))
    if through == "proxy":
        request.getfixturevalue("behind_proxy")
    when, what = PROBLEMS[problem]
    if when == "greeting":
        # A handshake at the report, too, since the server closes the connection after the token.
        server.token_answers = [then(token("token-0", Connection="close"), close)]
        server.report_answers = [http()]
        server.greetings = [what] if at == "token" else [None, what]
    else:
        server.token_answers = [what, TOKEN_ANSWER] if at == "token" else [TOKEN_ANSWER]
        server.report_answers = [what, http()] if at == "report" else [http()]
    assert sample.main() == 0
    reports_asked_for = 3 if when == "answer" and at == "report" else 2  # a handshake fails before the request is sent
    assert server.wire.count("token-0") == reports_asked_for


# What ends in one line


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /reports.eu/v2/summary\r\n"
CLOSED, IN_TIME, MALFORMED = "the connection was closed too early", "no answer in time", "malformed address or answer"

# name: answer, how often it is asked for, what is said of it
MISBEHAVIOUR: dict[str, tuple[Answer, int, str]] = {
    "reset": (reset, TRIES, CLOSED),
    "close": (close, TRIES, CLOSED),
    "cut in the headers": (then(http()[:25], close), TRIES, CLOSED),
    "cut in the body": (then(http()[:-5], close), TRIES, CLOSED),
    "cut between chunks": (then(CHUNKED + b"2\r\n{}\r\n", close), TRIES, CLOSED),
    "cut in a huge chunk": (then(CHUNKED + b"ffffffffffffffff\r\n{}", close), TRIES, CLOSED),
    "silence": (silence, 1, IN_TIME),
    "stalled body": (then(http()[:-5], silence), 1, IN_TIME),
    "garbage": (b"garbage\r\n\r\n", 1, MALFORMED),
    "header flood": (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 1, MALFORMED),
    "bad chunk": (CHUNKED + b"zz\r\n{}", 1, MALFORMED),
    "bad gzip": (http(Content_Encoding="gzip"), 1, MALFORMED),
    "bad redirect": (
        REDIRECT + b"Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip\r\nContent-Length: 2\r\n\r\n{}",
        1,
        MALFORMED,
    ),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}", 1, MALFORMED),
    "large": (CHUNKED + 20 * (b"10000\r\n" + bytes(0x10000) + b"\r\n"), 1, "the answer is too large"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_misbehaviour(main: Main, server: Wire, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answer, requests, words = MISBEHAVIOUR[name]
    monkeypatch.setattr(session, "ANSWER_MAX", 1_000_000)
    monkeypatch.setattr(session, "TIMEOUT", (5, 0.4 if words == IN_TIME else 20))
    server.report_answers = [http(), answer]
    done = main("first", "second", "third")
    assert done.reports == 1
    assert done.failure_without_details == no_answer("report", f"{server.reports_url}/second", words)
    assert server.wire == ["POST", "token-1"] + ["token-1"] * requests


def drip(connection: socket.socket) -> None:
    connection.sendall(CHUNKED)
    with suppress(OSError):  # the client has seen enough
        while True:
            connection.sendall(b"1\r\n{\r\n")
            time.sleep(0.05)


def test_an_answer_that_drips(server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TIMEOUT", (5, 0.4))
    monkeypatch.setattr(session, "ANSWER_TIME", 0.5)
    server.report_answers = [drip]
    with pytest.raises(ApiError, match=rf"{IN_TIME} \(not whole after 0.5 seconds\)"):
        ApiSession().get(server.reports_url)
    assert len(server.heads) == 1


def test_an_answer_that_unpacks_for_ever(main: Main, server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """To urllib3 2.6 to 2.8, this one has no end; other versions find zeros, which are no report either."""
    monkeypatch.setattr(session, "ANSWER_MAX", 1_000_000)
    server.report_answers = [http(200, 2 * gzip.compress(bytes(64 * 1024)), Content_Encoding="gzip")]
    assert main("summary").failure.startswith("Could not get a report from ")


def test_a_malformed_cookie_goes_unnoticed(main: Main, server: Wire) -> None:
    server.report_answers = [http(Set_Cookie="a=b; Max-Age")]
    done = main()
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert all("Cookie" not in head for head in server.heads)


def test_the_host_behind_a_redirect_is_the_one_that_cannot_be_reached(main: Main, server: Wire) -> None:
    url = "https://other.cisco.com/..."
    server.report_answers = [http(302, {}, Location="https://other.cisco.com/token-1")]  # and quotes the token
    assert main("summary").failure_without_details == no_answer("report", url, "unknown host name")


def test_refused(main: Main, server: Wire) -> None:
    server.__exit__()
    assert main().failure_without_details == (
        f"Could not get a token from {server.token_url}: no connection. "
        "Check the network, the URL, and whether HTTPS_PROXY must be set."
    )


def test_a_handshake_that_stalls_for_ever(main: Main, server: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "TIMEOUT", (0.1, 20))
    server.greetings = [silence] * TRIES
    done = main()
    assert done.failure_without_details == no_answer("token", server.token_url, "no connection in time")
    assert done.err.count("Trying again") == RETRIES


def test_what_happened_before_is_no_cause(main: Main, server: Wire) -> None:
    server.token_answers = [TOKEN_ANSWER, reset]
    server.report_answers = [http(), http(401, {"message": "earlier"})]
    try:
        raise TimeoutError("earlier")
    except TimeoutError:
        done = main("first", "second", "third")
    assert done.reports == 1
    assert done.failure_without_details == no_answer("token", server.token_url, CLOSED)
    assert "earlier" not in done.err


# TLS


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the port does not use TLS"),
        (bytes([21, 3, 1, 0, 2, 2, 70]), "no TLS version in common"),  # the alert protocol_version
    ],
)
def test_a_server_without_the_right_tls(main: Main, server: Wire, greeting: bytes, words: str) -> None:
    server.greetings = [then(greeting, silence)]
    assert main().failure_without_details == no_answer("token", server.token_url, words)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("trusted", "host", "served", "words"),
    [
        ("", "localhost", "server.pem", "the certificate is not trusted"),
        ("server.pem", "127.0.0.1", "server.pem", "the certificate is for another host"),
        ("expired.pem", "localhost", "expired.pem", "the certificate has expired or is not valid yet"),
    ],
)
def test_a_wrong_certificate(
    main: Main, credentials: None, monkeypatch: pytest.MonkeyPatch, trusted: str, host: str, served: str, words: str
) -> None:
    with Wire(CERTIFICATE.with_name(served)) as server:
        url = server.token_url.replace("localhost", host)
        monkeypatch.setenv("TOKEN_URL", url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE.with_name(trusted)) if trusted else "")
        done = main()
    assert done.failure_without_details == no_answer("token", url, words)
    assert re.search(r"\([^()]*certificate[^()]*\)\. ", done.err)  # what OpenSSL says, but not where in its code
    assert (server.connections, server.wire) == (1, [])


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_ca_bundle_that_cannot_be_read(
    main: Main, server: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    bundle = tmp_path / ("long" * 50 + ".pem")
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    done = main()
    assert done.failure_without_details == no_answer("token", server.token_url, "the CA certificates cannot be read")
    if not content:
        assert str(bundle) in done.err
    assert server.wire == []


# Proxies


def test_a_proxy_that_opens_tls(sample: Sample, server: Wire, behind_proxy: Proxy) -> None:
    regional = f"https://api.umbrella.com/reports.eu/v2/{SUMMARY}"
    server.report_answers = [http(302, {}, Location=regional), http()]
    assert sample.main() == 0
    assert [head.split()[1] for head in behind_proxy.heads] == ["api.sse.cisco.com:443", "api.umbrella.com:443"]
    assert all("Bearer" not in head for head in behind_proxy.heads)
    assert server.wire == ["POST"] + ["token-1"] * 3
    assert all("Proxy-Authorization" not in head for head in server.heads)


@pytest.mark.parametrize(
    ("status", "tries", "words"),
    [
        (407, 1, "the proxy asks for a user name and password"),
        (403, 1, "the proxy refuses the connection"),
        (500, 1, "the proxy refuses the connection"),
        (502, TRIES, "the proxy cannot reach the host"),
        (503, TRIES, "the proxy cannot reach the host"),
        (504, TRIES, "the proxy cannot reach the host"),
    ],
)
def test_a_proxy_that_refuses(main: Main, behind_proxy: Proxy, status: int, tries: int, words: str) -> None:
    behind_proxy.refusals = [f"HTTP/1.1 {status} No way\r\nContent-Length: 0\r\n\r\n".encode()] * tries
    done = main()
    assert done.failure_without_details == no_answer("token", "https://api.sse.cisco.com/auth/v2/token", words)
    assert f"(Tunnel connection failed: {status} No way)" in done.err
    assert len(behind_proxy.heads) == tries


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:hunter2@127.0.0.1:1", "no connection to the proxy"),
        ("http://user:hunter2@no.such.host:8080", "no connection to the proxy"),
        ("http://", "invalid proxy URL"),
        ("socks9://user:hunter2@127.0.0.1:1", "invalid proxy URL"),
        ("http://user:hunter2@", MALFORMED),
        ("http://user:hunter2#2@127.0.0.1:1", "invalid proxy URL"),
    ],
)
def test_a_wrong_proxy(main: Main, server: Wire, monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    done = main()
    assert done.failure_without_details == no_answer("token", server.token_url, words)
    assert "hunter2" not in done.err
    assert server.wire == []


def test_plain_http_to_this_machine_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with Sandbox() as sandbox:
        for name, value in sandbox.environment().items():
            if name.lower() != "no_proxy":
                monkeypatch.setenv(name, value)
        assert SAMPLES[1].main() == 0


# One connection, one token


def test_one_connection_for_any_number_of_reports_and_tokens(sample: Sample, server: Wire) -> None:
    api = client(sample, server)
    for _ in range(3):
        sample.query(api, SUMMARY)
    server.valid.clear()
    sample.query(api, SUMMARY)
    assert (server.connections, server.wire) == (1, ["POST"] + ["token-1"] * 4 + ["POST", "token-2"])


def all_at_once(sample: Sample, api: Any) -> list[Any]:
    start = threading.Barrier(THREADS, timeout=20)

    def query(_: int) -> Any:
        start.wait()
        return sample.query(api, SUMMARY)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(query, range(THREADS)))


def test_threads_acquire_and_refresh_one_token(sample: Sample, server: Wire, clock: Clock) -> None:
    api = client(sample, server)
    assert all_at_once(sample, api) == [REPORT] * THREADS
    assert server.wire == ["POST"] + ["token-1"] * THREADS
    clock.now += 4000
    assert all_at_once(sample, api) == [REPORT] * THREADS
    assert server.wire[THREADS + 1 :] == ["POST"] + ["token-2"] * THREADS


def test_threads_replace_a_revoked_token_once(sample: Sample, server: Wire) -> None:
    api = client(sample, server)
    sample.query(api, SUMMARY)
    server.valid.clear()
    # All are rejected before one can ask for a token.
    server.before_rejection = threading.Barrier(THREADS, timeout=20).wait
    assert all_at_once(sample, api) == [REPORT] * THREADS
    assert sorted(server.wire[2:]) == ["POST"] + ["token-1"] * THREADS + ["token-2"] * THREADS


# The process


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C for one process alone")
@pytest.mark.parametrize("when", ["request", "retry"])
def test_ctrl_c(sample: Sample, server: Wire, when: str) -> None:
    asked = threading.Event()

    def ask(connection: socket.socket) -> None:
        asked.set()
        silence(connection)

    server.report_answers = [http(), ask if when == "request" else http(429, {}, Retry_After="25")]
    with started(sample.script, "first", "second", "third") as process:
        assert process.stderr
        assert process.stderr.readline().startswith("Token: ")
        if when == "request":
            assert asked.wait(20)
        else:
            assert process.stderr.readline() == "Trying again in 25.0 seconds: 429 Too Many Requests\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    assert out.count("requests") == 1


def test_a_reader_that_has_seen_enough(sample: Sample, server: Wire) -> None:
    server.report_answers = [http(), http(200, {"meta": {}, "data": ["x" * 200_000]})]
    with started(sample.script, *["report"] * 20) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(20) == 0
    assert failures(err) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full(sample: Sample, server: Wire) -> None:
    with open("/dev/full", "w") as full, started(sample.script, stdout=full) as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert failures(err) == ["Cannot write the report: No space left on device"]
