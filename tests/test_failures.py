"""What a user reads when something fails: a line with the cause, in the words of server or system, and a remedy."""

import base64
import errno
import io
import os
import ssl

import pytest
import requests
from helpers import KEY, ROOT, SECRET, SUMMARY, TOKEN, one_sample, run
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import SSLError as Urllib3SSLError

from common import cli
from common.api import CHECK_URLS, REMEDIES, TRY_LATER, ApiError
from common.config import REPORTS_URL, TOKEN_URL

pytestmark = pytest.mark.usefixtures("credentials")
FOR_TOKEN, FOR_REPORT = REMEDIES["POST"], REMEDIES["GET"]


@one_sample
@pytest.mark.parametrize(
    ("requested", "status", "body", "words", "remedy"),
    [
        ("token", 401, '{"message": "No"}', '401 Unauthorized ({"message": "No"})', FOR_TOKEN[401]),
        ("token", 403, "\n<h1>Blocked</h1>", "403 Forbidden (a web page)", CHECK_URLS),
        ("token", 429, "Slow", "429 Too Many Requests (Slow)", FOR_TOKEN[429]),
        ("token", 404, "", "404 Not Found (no explanation)", CHECK_URLS),
        ("token", 500, "Oh", "500 Internal Server Error (Oh)", TRY_LATER),
        ("token", 502, "<html>", "502 Bad Gateway (a web page)", CHECK_URLS),
        ("token", 200, f'["{TOKEN}"]', "200 OK (not a JSON object)", CHECK_URLS),
        ("token", 200, f'{{"access_token": ["{TOKEN}"]}}', "200 OK (no usable access_token)", CHECK_URLS),
        ("token", 200, f'{{"access_token": "{TOKEN}\\r\\nX: 1"}}', "200 OK (no usable access_token)", CHECK_URLS),
        ("token", 200, '{"access_token": "schlüssel"}', "200 OK (no usable access_token)", CHECK_URLS),
        ("report", 400, "a\nb\x1b[31m\u202ec", "400 Bad Request (a b [31m c)", FOR_REPORT[400]),
        ("report", 400, '{"error": "invalid_request"}', '400 Bad Request ({"error": "inva', FOR_REPORT[401]),
        ("report", 403, "No", "403 Forbidden (No)", FOR_REPORT[403]),
        ("report", 404, "x" * 201, f"404 Not Found ({200 * 'x'})", FOR_REPORT[404]),
        ("report", 429, "Slow", "429 Too Many Requests (Slow)", FOR_REPORT[429]),
    ],
)
def test_a_response_that_is_no_success(main, api, requested, status, body, words, remedy):
    if requested == "token":
        url, printed = TOKEN_URL, 0
        api.mock.post(url, status=status, body=body)
    else:
        url, printed = f"{REPORTS_URL}/second?{'x' * 900}", 1
        api.token("token-1")  # too short to show some of it
        api.report("first")
        api.mock.get(url, status=status, body=body)
    done = main("first", url.rpartition("/")[2], "third")
    assert (done.code, done.out.count("requests"), "token-1" in done.err) == (1, printed, False)  # no report is lost
    assert done.failure.startswith(f"Could not get a {requested} from {url[:300]}: {words}")
    assert done.failure.endswith(f"). {remedy}")


NO_KEY_IDENTIFIER = "certificate verify failed: Missing Authority Key Identifier"
CERTIFICATE = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {NO_KEY_IDENTIFIER} (_ssl.c:1018)")
RESET = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@one_sample
@pytest.mark.parametrize(
    ("error", "tries", "words", "remedy"),
    [
        (requests.ConnectionError(ProtocolError("Aborted", RESET)), 4, "Connection reset by peer", "Check the network"),
        (requests.exceptions.SSLError(Urllib3SSLError(CERTIFICATE)), 1, NO_KEY_IDENTIFIER, "Check the URL, REQ"),
        (requests.ConnectTimeout(), 4, "ConnectTimeout", "Check the network"),
        (requests.ConnectionError("NameResolutionError: Temporary"), 4, "NameResolutionError: Temporary", "Check the"),
        (requests.ConnectionError(f"a\nb\x1b {SECRET} {TOKEN}"), 4, "a b ... ...", "Check the network"),
    ],
)
def test_no_response(main, api, error, tries, words, remedy):
    api.mock.post(TOKEN_URL, body=error)
    done = main()
    assert done.failure.startswith(
        f"Could not get a token from {TOKEN_URL}: {type(error).__name__} ({words}). {remedy}"
    )
    assert [line.partition(": ")[2] for line in done.err.splitlines()[:-1]] == [words] * (tries - 1)
    assert len(api.requests) == tries


@pytest.mark.parametrize("requested", ["token", "report"])
def test_no_message_holds_a_secret_or_a_token(sample, main, api, requested):
    if requested == "token":
        sent = [base64.b64encode(f"{KEY}:{SECRET}".encode()).decode(), SECRET]
        api.mock.post(TOKEN_URL, status=403, body=f"{' '.join(sent)} is forbidden")
    else:
        sent = [TOKEN]
        api.token(TOKEN)
        api.report(status=403, body=f"{TOKEN} is forbidden")
    with pytest.raises(ApiError) as error:
        sample.query(sample.new(), SUMMARY)
    for text in (str(error.value), main(SUMMARY).failure):
        assert "is forbidden" in text
        assert [secret for secret in sent if secret in text] == []


def test_ctrl_c_in_a_notebook(monkeypatch):
    def main():
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert cli.run(main) == 130


@pytest.mark.parametrize(("reader", "line"), [(True, ""), (False, "[Errno 9] Bad file descriptor\n")])
def test_a_program_whose_output_cannot_be_written(tmp_path, reader, line):
    (tmp_path / "program.py").write_text("from common.cli import run\nraise SystemExit(run(lambda: print('report')))")
    read, write = os.pipe() if reader else (os.open(os.devnull, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY))
    os.close(read)  # as a reader such as head does that has seen enough
    done = run(str(tmp_path / "program.py"), stdout=write, env={**os.environ, "PYTHONPATH": str(ROOT)})
    os.close(write)
    assert (done.code, done.err) == (1, line)
