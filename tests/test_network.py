"""Both samples over TLS, directly and through a proxy, and what goes wrong there."""

import multiprocessing
import os
import re
import socket
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock, patch

import pytest
import requests
from helpers import SUMMARY, one_sample
from tls_server import (
    CERTIFICATE,
    ApiServer,
    ConnectProxy,
    break_off,
    close,
    close_after_hello,
    fall_silent,
    http,
    reset,
    stay_silent,
)

from common import session
from common.config import load_settings
from common.errors import explain
from common.sandbox import Sandbox
from common.session import with_retries

TRIES = 5
THREADS = 16


@pytest.fixture
def server(monkeypatch):
    with ApiServer() as server:
        monkeypatch.setenv("TOKEN_URL", server.token_url)
        monkeypatch.setenv("REPORTS_URL", server.reports_url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", CERTIFICATE)
        yield server


@pytest.fixture
def proxy(server, monkeypatch):
    """A proxy that leads from the default URLs to the server."""
    monkeypatch.delenv("TOKEN_URL")
    monkeypatch.delenv("REPORTS_URL")
    with ConnectProxy(server) as proxy:
        url = f"http://user:hunter2@127.0.0.1:{proxy.port}"
        monkeypatch.setenv("HTTPS_PROXY", url)
        yield proxy


@pytest.fixture
def client(sample, server):
    return sample.client(**load_settings())


# What goes wrong once is survived


@pytest.fixture
def route(sample, request):
    """Lead one of the scripts through the proxy, and the other to the server."""
    if sample.name == "oauthlib":
        request.getfixturevalue("proxy")


@pytest.mark.parametrize(
    ("problem", "connect_timeout"),
    [(stay_silent, 0.3), (close_after_hello, 5), (reset, 5)],
)
def test_two_handshakes_that_fail(
    main, server, monkeypatch, route, problem, connect_timeout
):
    monkeypatch.setattr(session, "TIMEOUT", (connect_timeout, 20))
    server.handshake_problems = {1: problem, 2: problem}
    done = main("first")
    assert done.code == 0, done.err
    # On a busy machine, another handshake may take as long as a stalled one may.
    assert done.err.count("Trying again") >= 2
    assert "_ssl.c" not in done.err


# The words of a status may hold anything.
UNSAFE = b"HTTP/1.1 503 the-api-secret\x1b\r\nContent-Length: 0\r\n\r\n"


def test_responses_that_fail(main, server, route):
    server.token_responses = [close, reset, UNSAFE]
    server.report_responses = [close, reset, break_off]
    done = main("first", "second")
    assert done.code == 0, done.err
    assert "/first" in done.out and "/second" in done.out
    assert done.err.count("Trying again") == 6
    assert "Trying again in 0.0 seconds: 503 ..." in done.err
    assert "\x1b" not in done.err


# What goes wrong for ever is one line

NO_GZIP = http(headers=["Content-Encoding: gzip"])


@one_sample
@pytest.mark.parametrize(
    ("response", "tries", "words"),
    [
        (reset, TRIES, r"ConnectionError \(.*(reset|closed).*\)\. Check the network"),
        (break_off, TRIES, r"(Chunked|Connection).*\(IncompleteRead.*\)\. Try again"),
        (b"garbage\r\n", TRIES, r"ConnectionError \(garbage\)\. Check the network"),
        (NO_GZIP, 1, r"ContentDecodingError \(.*\)\. Try again; for a report, use a"),
    ],
    ids=["reset", "broken off", "garbage", "no gzip"],
)
def test_a_response_that_always_fails(main, server, response, tries, words):
    server.report_responses = [http(), *[response] * tries]
    done = main("first", "second", "third")
    assert done.out.count("requests") == 1
    failure = f"Could not get a report from {server.reports_url}/second: {words}"
    assert re.match(failure, done.failure)
    assert server.sent == ["POST", "token-1"] + ["token-1"] * tries
    assert done.err.count("Trying again in 0.0 seconds: ") == tries - 1


@one_sample
def test_a_look_up_that_fails_for_the_moment_is_tried_again(main, server, monkeypatch):
    failure = socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=failure))
    done = main()
    assert done.err.count("Trying again") == TRIES - 1
    assert done.failure.endswith("whether HTTPS_PROXY must be set.")


@one_sample
@pytest.mark.parametrize("response", [stay_silent, fall_silent])
def test_a_silent_server_is_asked_once(main, server, monkeypatch, response):
    monkeypatch.setattr(session, "TIMEOUT", (5, 0.1))
    server.token_responses = [response]
    done = main()
    assert re.search(r"\(.*timed out.*\)\. Try again; ", done.failure)
    assert done.err.count("\n") == 1


# Wrong settings


@one_sample
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TOKEN_URL", "https://no.such.host/", r"ConnectionError \(Name or .*known\)"),
        ("REQUESTS_CA_BUNDLE", "", r"\(certificate verify failed: [\w -]+\)\. Check"),
        ("REQUESTS_CA_BUNDLE", "no/such/file", r"no/such/file\)\. .* CURL_CA_BUNDLE"),
        ("HTTPS_PROXY", "socks5://u:hunter2@h", r"\(Missing dependencies for SOCKS "),
    ],
    ids=["host", "certificate", "no CA file", "no PySocks"],
)
def test_a_wrong_setting_is_not_tried_again(
    main, server, monkeypatch, variable, value, words
):
    monkeypatch.setenv(variable, value)
    done = main()
    assert re.search(words, done.failure)
    assert done.err.count("\n") == 1
    assert server.sent == []
    assert "hunter2" not in done.err


INVALID_PROXIES = [
    "http://",
    "http://user:hunter2@",
    "http://proxy..corp",
    "http://user:hunter2#@host:1",
    "http://user:hunter2/@host:1",
    "http://user:hunter2[@host:1",
    "http://user:hunter2\u20ac@host:1",
]


INVALID = "the URL, a header, the proxy's URL or a time limit is invalid"


def test_an_invalid_proxy_is_explained_without_its_password(server, monkeypatch):
    program = with_retries(requests.Session())
    for url in INVALID_PROXIES:
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(requests.RequestException) as error:
            program.get(server.reports_url)
        assert f"({INVALID}). " in explain(error.value)
        # What Python prints of it, with the exceptions that led to it.
        lines = traceback.format_exception(error.type, error.value, error.tb)
        assert "hunter2" not in "".join(lines)


def test_an_invalid_header_is_not_blamed_on_a_url(server):
    program = with_retries(requests.Session())
    with pytest.raises(requests.RequestException, match=INVALID):
        program.get(server.reports_url, headers={"X": "\u20ac"})


@one_sample
def test_what_is_sent_to_this_machine_goes_to_no_proxy(main, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Sandbox() as sandbox, patch.dict(os.environ, sandbox.environment()):
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.delenv("no_proxy", raising=False)
        assert main().code == 0


@one_sample
@pytest.mark.parametrize(("status", "tries"), [(403, 1), (407, 1), (502, TRIES)])
def test_a_proxy_that_refuses(main, proxy, status, tries):
    proxy.status = status
    done = main()
    assert f": ProxyError (Tunnel connection failed: {status} " in done.failure
    assert "Check HTTPS_PROXY, its user name and password" in done.failure
    assert "hunter2" not in done.err
    assert proxy.connect_requests == tries


# Connections


def test_one_connection_until_it_was_idle_for_a_minute(query, server, clock):
    query(SUMMARY)
    clock.now += 59
    query(SUMMARY)
    assert server.connections == 1
    clock.now += 61
    query(SUMMARY)
    assert server.connections == 2
    assert server.sent == ["POST"] + ["token-1"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_fork_gets_its_own_reports(query, server):
    def check_reports(name):
        for _ in range(5):
            assert query(name)["data"] == f"/reports/v2/{name}"

    check_reports("before")
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=check_reports, args=("child",), daemon=True)
    child.start()
    check_reports("parent")
    child.join(20)
    assert child.exitcode == 0
    assert server.connections == 2


@one_sample
def test_no_request_gets_the_response_to_another(query, server):
    def respond_twice(connection):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        # Until the client goes away, or sends the next request.
        connection.recv(1)
        connection.sendall(http(body={"data": "first"}))

    server.report_responses = [respond_twice]
    with pytest.raises(requests.RequestException) as error:
        query("first")
    assert "103 Early Hints" in explain(error.value)
    assert query("second")["data"] == "/reports/v2/second"


# Threads


def query_in_threads(query):
    """Request a report in all threads at once, and return the exceptions."""
    start = threading.Barrier(THREADS, timeout=20)

    def query_with_the_others():
        start.wait()
        query(SUMMARY)

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(query_with_the_others) for _ in range(THREADS)]
        return [future.exception() for future in futures]


def test_threads_share_a_token_and_renew_it_once(query, server, clock):
    assert query_in_threads(query) == [None] * THREADS
    assert server.sent == ["POST"] + ["token-1"] * THREADS
    clock.now += 4000
    assert query_in_threads(query) == [None] * THREADS
    assert server.sent[1 + THREADS :] == ["POST"] + ["token-2"] * THREADS


def test_threads_replace_a_rejected_token_once(query, server, caplog):
    query(SUMMARY)
    server.valid_tokens.clear()
    # All are rejected before one of them gets a new token.
    server.rejections = threading.Barrier(THREADS, timeout=20)
    assert query_in_threads(query) == [None] * THREADS
    expected = ["POST"] + ["token-1"] * THREADS + ["token-2"] * THREADS
    assert sorted(server.sent[2:]) == expected
    # Each has kept its connection.
    assert "pool is full" not in caplog.text


def test_each_thread_tries_for_itself_if_there_is_no_token(query, server):
    server.token_responses = [http(403)] * THREADS
    errors = query_in_threads(query)
    assert {type(error) for error in errors} == {requests.HTTPError}
    assert server.sent == ["POST"] * THREADS
    query(SUMMARY)


def test_a_token_that_another_thread_has_replaced_is_not_replaced_again(
    sample, client, query, server
):
    def reject(connection):
        # Meanwhile, another thread replaces the token.
        getattr(
            client, {"oauthlib": "GetToken", "requests": "getAccessToken"}[sample.name]
        )()
        connection.sendall(http(401))

    server.report_responses = [reject]
    query(SUMMARY)
    assert server.sent == ["POST", "token-1", "POST", "token-2"]
