"""A real TLS server that behaves as the API does, until it is told to misbehave; and a proxy in front of it."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Union

from helpers import KEY, REPORT, SECRET

# A certificate, and its key, that only these tests use; its own authority.
CERTIFICATE = Path(__file__).with_name("server.pem")

Answer = Union[bytes, Callable[["socket.socket"], None]]


def http(status: int = 200, body: Any = REPORT, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def token(name: str, **headers: str) -> bytes:
    return http(200, {"token_type": "bearer", "access_token": name, "expires_in": 3600}, **headers)


def reset(connection: socket.socket) -> None:
    """Make closing the connection send a reset."""
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def close(connection: socket.socket) -> None:
    """Say nothing at all."""


def silence(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass  # until the client goes away


def then(first: bytes, ending: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(first)
        ending(connection)

    return answer


class Server(socketserver.ThreadingTCPServer):
    """Serves from `with` until the end of the block."""

    daemon_threads = True
    request_queue_size = 64

    def __enter__(self) -> Any:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Wire(Server):
    """Token endpoint and Reporting API.

    `token_answers` and `report_answers` are given in turn, repeating the last one. Without them, tokens are
    `token-1`, `token-2`, ..., and a report is returned for a token in `valid`. `greetings` meet the first connections
    before TLS.
    """

    def __init__(self, certificate: Path = CERTIFICATE) -> None:
        super().__init__(("127.0.0.1", 0), WireHandler)
        self.certificate = certificate
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(str(certificate))  # PyPy wants a str
        self.token_url = f"https://localhost:{self.port}/auth/v2/token"
        self.reports_url = f"https://localhost:{self.port}/reports/v2"
        self.lock = threading.Lock()
        self.connections = 0
        self.greetings: list[Callable[[socket.socket], None] | None] = []
        self.heads: list[str] = []  # of the requests, in order
        self.token_answers: list[Answer] = []
        self.report_answers: list[Answer] = []
        self.valid: set[str] = set()
        self.issued = 0
        self.before_rejection: Callable[[], object] = lambda: None

    @property
    def wire(self) -> list[str]:
        """`POST` for a token request, the bearer token for a report."""
        return ["POST" if head.startswith("POST") else bearer(head) for head in self.heads]

    def environment(self) -> dict[str, str]:
        urls = {"TOKEN_URL": self.token_url, "REPORTS_URL": self.reports_url}
        return {"API_KEY": KEY, "API_SECRET": SECRET, **urls, "REQUESTS_CA_BUNDLE": str(self.certificate)}

    def answer(self, head: str) -> Answer:
        with self.lock:
            self.heads.append(head)
            answers = self.token_answers if head.startswith("POST") else self.report_answers
            if answers:
                return answers.pop(0) if len(answers) > 1 else answers[0]
            if head.startswith("POST"):
                self.issued += 1
                self.valid.add(f"token-{self.issued}")
                return token(f"token-{self.issued}")
            if bearer(head) in self.valid:
                return http()
        self.before_rejection()
        return http(401, {"meta": {}, "data": {"error": "unauthorized"}})


def bearer(head: str) -> str:
    found = re.search(r"^Authorization: Bearer (.*?)\r$", head, re.M | re.I)
    return found.group(1) if found else "no token"


def read_head(connection: socket.socket) -> str:
    """Return the head of a request and read past its body; empty at the end."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return ""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"^content-length: (\d+)", head, re.M | re.I)
    while length and len(body) < int(length.group(1)):
        body += connection.recv(65536)
    return head.decode("latin-1") + "\r\n"


class WireHandler(socketserver.BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        with self.server.lock:
            self.server.connections += 1
            greeting = self.server.greetings.pop(0) if self.server.greetings else None
        if greeting:
            greeting(self.request)
            return
        with self.server.context.wrap_socket(self.request, server_side=True) as connection:
            while True:
                head = read_head(connection)
                if not head:
                    return
                answer = self.server.answer(head)
                if not isinstance(answer, bytes):
                    answer(connection)
                    return
                connection.sendall(answer)


class Proxy(Server):
    """Leads every CONNECT to the one server, as a proxy that opens TLS does; `refusals`: first answers to say no."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.wire = wire
        self.refusals: list[bytes] = []
        self.heads: list[str] = []


class ProxyHandler(socketserver.BaseRequestHandler):
    server: Proxy

    def handle(self) -> None:
        self.server.heads.append(read_head(self.request))
        if self.server.refusals:
            self.request.sendall(self.server.refusals.pop(0))
            return
        with socket.create_connection(("127.0.0.1", self.server.wire.port)) as onward:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(onward, self.request), daemon=True)
            back.start()
            pump(self.request, onward)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        for piece in iter(lambda: source.recv(65536), b""):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
