"""A real TLS server that plays the API until it is told to misbehave, and a proxy in front of it."""

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

from helpers import KEY, REPORT, SECRET

CERTIFICATE = str(Path(__file__).with_name("server.pem"))  # with its key, for these tests alone; its own authority


def http(status=200, body=REPORT, **headers):
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def reset(connection):
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # closing it sends a reset


def close(connection):
    """Say nothing at all."""


def silence(connection):
    with suppress(OSError):
        while connection.recv(65536):
            pass  # until the client goes away


def then(first, ending):
    return lambda connection: (connection.sendall(first), ending(connection))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), None)
        self.heads = []  # of the requests

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that goes away is part of the tests."""


class Wire(Server):
    """Token endpoint and Reporting API; `greetings` meet the first connections before TLS.

    `answers` to POST and GET are given in turn, repeating the last: bytes, or a function of the connection that ends
    it. Without them, a report is returned for a token in `valid`: `token-1`, `token-2`, ...
    """

    def __init__(self):
        super().__init__()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATE)
        self.lock = threading.Lock()
        self.connections, self.greetings, self.answers, self.valid = 0, [], {"POST": [], "GET": []}, set()
        self.before_rejection = lambda: None

    @property
    def wire(self):
        """`POST` for a token request, the bearer token for a report."""
        return ["POST" if head.startswith("POST") else bearer(head) for head in self.heads]

    def environment(self):
        url = f"https://localhost:{self.server_address[1]}"
        urls = {"TOKEN_URL": f"{url}/auth/v2/token", "REPORTS_URL": f"{url}/reports/v2"}
        return {"API_KEY": KEY, "API_SECRET": SECRET, **urls, "REQUESTS_CA_BUNDLE": CERTIFICATE}

    def finish_request(self, request, client_address):
        with self.lock:
            self.connections += 1
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeting = self.greetings.pop(0) if self.greetings else None
        if greeting:
            return greeting(request)
        with self.context.wrap_socket(request, server_side=True) as connection:
            while True:
                head = read_head(connection)
                answer = self.answer(head) if head else close
                if callable(answer):
                    return answer(connection)
                connection.sendall(answer)

    def answer(self, head):
        with self.lock:
            self.heads.append(head)
            answers = self.answers.get(head.split()[0])
            if answers:
                return answers.pop(0) if len(answers) > 1 else answers[0]
            if head.startswith("POST"):
                name = f"token-{self.wire.count('POST')}"
                self.valid.add(name)
                return http(200, {"access_token": name})
            if bearer(head) in self.valid:
                return http(200, {"meta": {}, "data": {"requests": head.split()[1]}})
        self.before_rejection()
        return http(401, {"meta": {}, "data": {"error": "unauthorized"}})


class Proxy(Server):
    """Leads every CONNECT to the one server, as a proxy that opens TLS does; `refusals`: first answers to say no."""

    def __init__(self, wire):
        super().__init__()
        self.wire, self.refusals = wire, []

    def finish_request(self, request, client_address):
        self.heads.append(read_head(request))
        if self.refusals:
            return request.sendall(self.refusals.pop(0))
        request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return self.wire.finish_request(request, client_address)


def bearer(head):
    return "".join(re.findall(r"^Authorization: Bearer (.*?)\r$", head, re.M | re.I)) or "no token"


def read_head(connection):
    """Return the head of a request, whose body comes along; empty at the end."""
    received = b""
    while b"\r\n\r\n" not in received or (received.startswith(b"POST") and not received.endswith(b"credentials")):
        piece = connection.recv(65536)
        if not piece:
            return ""
        received += piece
    return received.partition(b"\r\n\r\n")[0].decode("latin-1") + "\r\n"
