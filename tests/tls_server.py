"""The API behind TLS on this machine, a proxy in front of it, and what goes wrong."""

import json
import socket
import socketserver
import ssl
import struct
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from helpers import REPORT

# With its key, for these tests alone. It is its own authority.
CERTIFICATE = str(Path(__file__).with_name("server.pem"))


def http(status=200, body=REPORT, headers=()):
    """Return an HTTP response, as bytes."""
    content = json.dumps(body)
    lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", content]).encode("latin-1")


def close(connection):
    """Send nothing: the server closes the connection after all of these functions."""


def close_after_hello(connection):
    """Close the connection in the middle of a handshake."""
    connection.recv(65536)


def reset(connection):
    """Have the connection closed by a TCP reset."""
    layout = "hh" if sys.platform == "win32" else "ii"
    linger = struct.pack(layout, 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def stay_silent(connection):
    """Send nothing until the client goes away."""
    with suppress(OSError):
        while connection.recv(65536):
            pass


def break_off(connection):
    """Send a response without its end."""
    connection.sendall(http()[:-5])


def fall_silent(connection):
    """Send a response without its end, and keep the client waiting for it."""
    break_off(connection)
    stay_silent(connection)


class LocalServer(socketserver.ThreadingTCPServer):
    """Serves in a thread while its block runs."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Print nothing: that a client goes away is part of the tests."""


class ApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.rfile.read(length)
        self.respond(self.server.token_response())

    def do_GET(self):
        authorization = self.headers.get("Authorization", "no token")
        token = authorization.replace("Bearer ", "")
        self.respond(self.server.report_response(token, self.path))

    def respond(self, response):
        if callable(response):
            response(self.connection)
            self.close_connection = True
        else:
            self.wfile.write(response)


class ApiServer(LocalServer):
    """Token endpoint and Reporting API, whose tokens are token-1, token-2, and so on.

    A response is bytes, or a function that is called with the connection.
    """

    def __init__(self):
        super().__init__(ApiHandler)
        self.token_url = f"https://localhost:{self.port}/auth/v2/token"
        self.reports_url = f"https://localhost:{self.port}/reports/v2"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATE)
        self.lock = threading.Lock()
        self.connections = 0
        # Functions to call instead of a handshake, by the number of the connection.
        self.handshake_problems = {}
        # Responses to give first, before those of a server that works.
        self.token_responses = []
        self.report_responses = []
        # What came, in order: "POST" for a token, the token for a report.
        self.sent = []
        self.valid_tokens = set()
        # So many requests are rejected together.
        self.rejections = threading.Barrier(1)

    def finish_request(self, request, client_address):
        with self.lock:
            self.connections += 1
            problem = self.handshake_problems.get(self.connections)
        if problem:
            problem(request)
            return
        with self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def token_response(self):
        with self.lock:
            self.sent.append("POST")
            if self.token_responses:
                return self.token_responses.pop(0)
            token = f"token-{self.sent.count('POST')}"
            self.valid_tokens.add(token)
        return http(body={"access_token": token, "expires_in": 3600})

    def report_response(self, token, path):
        with self.lock:
            self.sent.append(token)
            if self.report_responses:
                return self.report_responses.pop(0)
            valid = token in self.valid_tokens
        if valid:
            return http(body={"meta": {}, "data": path})
        self.rejections.wait()
        return http(401, {"meta": {}, "data": {"error": "unauthorized"}})


class ProxyHandler(BaseHTTPRequestHandler):
    def do_CONNECT(self):
        self.server.connect_requests += 1
        self.send_response_only(self.server.status)
        self.end_headers()
        if self.server.status == 200:
            api_server = self.server.api_server
            api_server.finish_request(self.connection, self.client_address)


class ConnectProxy(LocalServer):
    """Leads to one server whatever the URL, or refuses with another status."""

    def __init__(self, api_server):
        super().__init__(ProxyHandler)
        self.api_server = api_server
        self.status = 200
        self.connect_requests = 0
