"""Both samples over TLS and through proxies that misbehave: nothing is lost, or one line tells why."""

import os
import re
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from helpers import REPORT, SUMMARY, one_sample
from wire import Proxy, Wire, close, http, reset, silence, then

from common import transport

THREADS, TRIES = 16, 4


@pytest.fixture
def server(monkeypatch):
    with Wire() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def proxy(server, monkeypatch):
    """The default URLs, through a proxy that opens TLS."""
    monkeypatch.delenv("TOKEN_URL")
    monkeypatch.delenv("REPORTS_URL")
    with Proxy(server) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.server_address[1]}")
        yield proxy


def new(sample, server):
    urls = server.environment()
    return sample.new(urls["TOKEN_URL"], reports_url=urls["REPORTS_URL"])


HANDSHAKES = {"stalled": silence, "handshake closed": close, "handshake reset": reset}
ANSWERS = {"closed": close, "reset": reset, "broken off": then(http()[:-5], close)}


@pytest.mark.parametrize(
    ("sample", "at", "through"),
    [(0, "token", "directly"), (0, "report", "proxy"), (1, "token", "proxy"), (1, "report", "directly")],
    indirect=["sample"],
)
@pytest.mark.parametrize("problem", [*HANDSHAKES, *ANSWERS])
def test_what_goes_wrong_once_is_survived(main, server, monkeypatch, request, problem, at, through):
    monkeypatch.setattr(transport, "TIMEOUT", (0.1 if problem == "stalled" else 5, 20))
    if through == "proxy":
        request.getfixturevalue("proxy")
    if problem in ANSWERS:
        token, report = http(200, {"access_token": "token-0"}), http()
        server.answers = {"POST": [token], "GET": [report]}
        server.answers["POST" if at == "token" else "GET"].insert(0, ANSWERS[problem])
    elif at == "token":
        server.greetings = [HANDSHAKES[problem]]
    else:  # a handshake, since the server closes the connection after the token
        server.answers["POST"] = [then(http(200, {"access_token": "token-0"}, Connection="close"), close)]
        server.answers["GET"] = [http()]
        server.greetings = [None, HANDSHAKES[problem]]
    done = main("first", "second")
    assert (done.code, done.out.count("requests"), done.err.count("Trying again")) == (0, 2, 1)


@pytest.mark.parametrize(
    ("answer", "tries", "words"),  # patterns, since the words are those of the system and of the version
    [
        (reset, TRIES, r"ConnectionError \(.*(reset|closed).*\)\. Check the network"),
        (close, TRIES, r"ConnectionError \(Remote end closed connection without response\)\. Check the network"),
        (then(http()[:-5], close), TRIES, r"(Chunked|Connection).*\(IncompleteRead.*\)\. Try again"),
        (b"garbage\r\n\r\n", TRIES, r"ConnectionError \(garbage\)\. Check the network"),
        (silence, 1, r"ReadTimeout \(.*timed out.*\)\. Try again"),
        (then(http()[:-5], silence), 1, r"ConnectionError \(.*timed out.*\)\. Check the network"),
        (http(Content_Encoding="gzip"), 1, r"ContentDecodingError \(.*\)\. Check the URL"),
    ],
    ids=range(7),
)
def test_what_goes_wrong_for_ever_is_one_line(main, server, monkeypatch, answer, tries, words):
    monkeypatch.setattr(transport, "TIMEOUT", (5, 0.2 if tries == 1 else 20))
    server.answers["GET"] = [http(), answer]
    done = main("first", "second", "third")
    assert (done.code, done.out.count("requests")) == (1, 1)  # nothing that was fetched is lost
    url = server.environment()["REPORTS_URL"]
    assert re.match(f"Could not get a report from {url}/second: {words}", done.failure)
    assert server.wire == ["POST", "token-1"] + ["token-1"] * tries
    assert done.err.count("Trying again in 0.0 seconds: ") == tries - 1


@one_sample
@pytest.mark.parametrize("problem", ["refused", *HANDSHAKES])
def test_no_connection_is_one_line(main, server, monkeypatch, problem):
    monkeypatch.setattr(transport, "TIMEOUT", (0.1, 20))
    server.greetings = [HANDSHAKES.get(problem)] * TRIES
    if problem == "refused":
        server.__exit__()
    done = main()
    assert (done.code, done.err.count("Trying again"), server.wire) == (1, TRIES - 1, [])
    assert done.failure.startswith("Could not get a token from ")


@one_sample
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "TOKEN_URL",
            "https://no.such.host/token",
            r"ConnectionError \(Name or service not known\)\. Check the network",
        ),
        (
            "REQUESTS_CA_BUNDLE",
            "",
            r"SSLError \(certificate verify failed: [\w -]+\)\. .*see Troubleshooting in README",
        ),
        ("REQUESTS_CA_BUNDLE", "no/such/file", r"OSError \(.*no/such/file\)\. Check REQUESTS_CA_BUNDLE"),
        ("HTTPS_PROXY", "http://", r"InvalidProxyURL \(.*\)\. Check the URL and HTTPS_PROXY"),
        (
            "HTTPS_PROXY",
            "http://user:hunter2/@host:1",
            r"InvalidURL \(Failed to parse\)\. Check the URL and HTTPS_PROXY",
        ),
        ("HTTPS_PROXY", "socks5://user:hunter2@host:1", r"InvalidSchema \(Missing dependencies for SOCKS support\.\)"),
    ],
)
def test_a_wrong_setting_is_not_tried_again(main, server, monkeypatch, variable, value, words):
    monkeypatch.setenv(variable, value)
    done = main()
    assert (done.code, done.err.count("\n"), "hunter2" in done.err, server.wire) == (1, 1, False, [])
    assert re.search(words, done.failure)


@one_sample
@pytest.mark.parametrize(("status", "tries"), [(407, 1), (403, 1), (502, TRIES)])
def test_a_proxy_that_refuses(main, proxy, status, tries):
    proxy.refusals = [f"HTTP/1.1 {status} No way\r\nContent-Length: 0\r\n\r\n".encode()] * tries
    done = main()
    assert (done.code, len(proxy.heads)) == (1, tries)
    assert (
        f": ProxyError (Tunnel connection failed: {status} No way). Check HTTPS_PROXY, its user name and password"
        in done.failure
    )


def test_one_connection_until_it_was_idle_for_long(sample, server, clock):
    api = new(sample, server)
    for seconds, connections in ((0, 1), (59, 1), (61, 2)):  # a firewall may have forgotten it
        clock.now += seconds
        sample.query(api, SUMMARY)
        assert server.connections == connections
    assert server.wire == ["POST"] + ["token-1"] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_children_of_a_fork_get_their_own_reports(sample, server):
    api = new(sample, server)
    sample.query(api, SUMMARY)
    children = []
    for name in ("first", "second", "third", "fourth"):
        child = os.fork()
        if not child:
            signal.alarm(10)
            own = all(sample.query(api, name)["data"] == {"requests": f"/reports/v2/{name}"} for _ in range(5))
            os._exit(0 if own else 1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert server.connections == 5


def test_no_request_gets_the_response_to_another(sample, server):
    server.answers["GET"] = [b"HTTP/1.1 103 Early Hints\r\n\r\n", http()]
    api = new(sample, server)
    with pytest.raises(requests.RequestException, match="103 Early Hints"):
        sample.query(api, "first")
    assert (sample.query(api, "second"), server.connections) == (REPORT, 2)


def all_at_once(sample, api):
    start = threading.Barrier(THREADS, timeout=20)
    with ThreadPoolExecutor(THREADS) as pool:
        assert len([*pool.map(lambda _: start.wait() < 0 or sample.query(api, SUMMARY), range(THREADS))]) == THREADS


def test_threads_share_one_token(sample, server, clock):
    api = new(sample, server)
    all_at_once(sample, api)
    clock.now += 4000
    all_at_once(sample, api)
    assert server.wire == ["POST"] + ["token-1"] * THREADS + ["POST"] + ["token-2"] * THREADS


def test_threads_replace_a_rejected_token_once(sample, server):
    api = new(sample, server)
    sample.query(api, SUMMARY)
    server.valid.clear()
    server.before_rejection = threading.Barrier(THREADS, timeout=20).wait  # all are rejected before one gets a token
    all_at_once(sample, api)
    assert sorted(server.wire[2:]) == ["POST"] + ["token-1"] * THREADS + ["token-2"] * THREADS


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGALRM")
def test_a_time_limit_of_the_caller_reaches_the_caller(sample, server):
    def end(*_):
        raise LookupError  # as task queues do

    def strike(connection):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        silence(connection)

    server.answers["GET"] = [strike]
    previous = signal.signal(signal.SIGALRM, end)
    try:
        with pytest.raises(LookupError):
            sample.query(new(sample, server), SUMMARY)
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_an_error_in_a_hook_reaches_the_caller(server):
    session = transport.with_retries(requests.Session())
    session.hooks["response"].append(lambda response, **_: response.jsn())
    with pytest.raises(AttributeError, match="jsn"):
        transport.get(session, server.environment()["REPORTS_URL"], SUMMARY)


def test_no_request_is_without_a_time_limit(server, monkeypatch):
    monkeypatch.setattr(transport, "TIMEOUT", (5, 0.2))
    server.answers["GET"] = [silence]
    with pytest.raises(requests.RequestException, match="ReadTimeout"):
        transport.with_retries(requests.Session()).get(server.environment()["REPORTS_URL"])
