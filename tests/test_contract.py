"""What both samples promise, whichever one it is."""

from __future__ import annotations

import ast
import base64
import errno
import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers import KEY, REPORT, SAMPLES, SECOND, SECRET, SUMMARY, TOKEN, Api, Clock, Main, Sample, run
from oauthlib.oauth2 import InsecureTransportError

from common import cli
from common.config import TOKEN_URL
from common.errors import TokenRejected
from common.session import TIMEOUT

EXPIRED = {"error": "invalid_request"}


@pytest.mark.parametrize(("org_id", "end_point"), [(None, SUMMARY), ("77", f"/{SUMMARY}")])
def test_the_two_requests(sample: Sample, api: Api, org_id: str | None, end_point: str) -> None:
    api.token(TOKEN)
    api.report()
    client = sample.new(org_id=org_id)
    assert api.wire == []
    assert sample.query(client, end_point) == REPORT
    post, get = api.requests
    assert (post.method, post.url) == ("POST", "https://api.sse.cisco.com/auth/v2/token")
    assert post.body == "grant_type=client_credentials"
    assert post.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert post.headers["Authorization"] == "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    assert (get.method, get.body) == ("GET", None)
    assert get.url == "https://api.sse.cisco.com/reports/v2/summary?from=-1days&to=now"
    assert get.headers["Authorization"] == f"Bearer {TOKEN}"
    assert [request.headers.get("X-Umbrella-OrgId") for request in api.requests] == [org_id, None]
    assert [request.req_kwargs["timeout"] for request in api.requests] == [TIMEOUT, TIMEOUT]
    assert sample.new_token(client) == TOKEN  # the published method


def test_further_settings_are_given_by_name(sample: Sample) -> None:
    with pytest.raises(TypeError):
        sample.client(TOKEN_URL, KEY, SECRET, "https://gateway.example/reports")


# Expired and rejected tokens


@pytest.mark.parametrize("lifetime", [3600, "3600", 3600.9, "3600.0", 15, 1])
def test_refresh_at_the_expiry_and_not_before(sample: Sample, api: Api, clock: Clock, lifetime: Any) -> None:
    api.token(TOKEN, SECOND, expires_in=lifetime)
    api.report()
    client = sample.new()
    seconds = int(float(lifetime))
    good_for = seconds - min(sample.margin, seconds / 10)
    sample.query(client, SUMMARY)
    for wait in (good_for, 0.01, good_for / 2):
        clock.now += wait
        sample.query(client, SUMMARY)
    assert api.wire == ["POST", TOKEN, TOKEN, "POST", SECOND, SECOND]


@pytest.mark.parametrize("fields", [{"token_type": "bearer"}, *[{"expires_in": odd} for odd in (None, 0, -5, "0", "")]])
def test_a_token_without_a_lifetime_is_used_until_it_is_rejected(
    sample: Sample, api: Api, clock: Clock, fields: dict[str, Any]
) -> None:
    api.token(TOKEN)  # its expiry must not be taken for that of the second one
    api.token(SECOND, **fields)
    api.report()
    client = sample.new()
    for _ in range(4):
        sample.query(client, SUMMARY)
        clock.now += 4000
    assert api.wire == ["POST", TOKEN, "POST", SECOND, SECOND, SECOND]


@pytest.mark.parametrize(("status", "body"), [(401, None), (400, EXPIRED)])
def test_one_new_token_for_a_rejected_one(sample: Sample, api: Api, status: int, body: Any) -> None:
    api.token(TOKEN, SECOND)
    api.report(status=status, json=body)
    api.report()
    client = sample.new()
    assert [sample.query(client, SUMMARY) for _ in range(2)] == [REPORT] * 2
    assert api.wire == ["POST", TOKEN, "POST", SECOND, SECOND]


def test_rejected_for_ever(sample: Sample, api: Api) -> None:
    api.token(TOKEN, SECOND)
    api.report(status=400, json=EXPIRED)
    with pytest.raises(TokenRejected) as error:
        sample.query(sample.new(), SUMMARY)
    assert api.wire == ["POST", TOKEN, "POST", SECOND]
    assert isinstance(error.value, requests.RequestException)
    assert error.value.response is not None and error.value.response.status_code == 400


def test_expired_and_then_rejected(sample: Sample, api: Api, clock: Clock) -> None:
    api.token(TOKEN, SECOND, "third")
    api.report()
    api.report(status=401)
    api.report()
    client = sample.new()
    sample.query(client, SUMMARY)
    clock.now += 4000
    assert sample.query(client, SUMMARY) == REPORT
    assert api.wire == ["POST", TOKEN, "POST", SECOND, "POST", "third"]


@pytest.mark.parametrize(
    "fields",
    [
        *[{"token_type": spelling} for spelling in ("Bearer", "BEARER", None, "")],
        *[{"expires_at": 1}, {"expires_at": "soon"}, {"scope": 5}, {"error": 1, "mac_key": 2}],
        {"access_token": f" {TOKEN}\n"},
    ],
)
def test_a_token_response_that_is_odd_but_good(sample: Sample, api: Api, fields: dict[str, Any]) -> None:
    api.token(TOKEN, SECOND, **fields)
    api.report()
    client = sample.new()
    assert [sample.query(client, SUMMARY) for _ in range(2)] == [REPORT] * 2
    assert api.wire == ["POST", TOKEN, TOKEN]


# What the user sees


def test_reports_on_stdout_and_one_token_line_on_stderr(
    sample: Sample, main: Main, api: Api, credentials: None
) -> None:
    api.token(TOKEN)
    api.report()
    code, out, err = main()
    assert code == 0
    report = json.dumps(REPORT, indent=4) if sample.prints_json else str(REPORT)
    assert out == f"{report}\n{report}\n"
    assert api.wire == ["POST", TOKEN, TOKEN]
    assert err.count("\n") == 1
    assert not logging.getLogger("requests_oauthlib").isEnabledFor(logging.INFO)  # it would show the token
    token = ast.literal_eval(err.partition("Token: ")[2])
    assert list(token) == ["token_type", "access_token", "expires_in", "expires_at"]
    assert (token["token_type"], token["access_token"], token["expires_in"]) == ("bearer", "eyJ0b2tl...", 3600)


@pytest.mark.parametrize(
    ("option", "token", "shown"),
    [
        ([], "a" * 12, "aaa..."),
        ([], "abc", "..."),
        (["--show-token"], TOKEN, TOKEN),
    ],
)
def test_how_much_of_a_token_is_shown(
    main: Main, api: Api, credentials: None, option: list[str], token: str, shown: str
) -> None:
    api.token(token)
    api.report()
    assert f"'access_token': '{shown}'" in main(*option).err


def test_a_report_appears_before_the_next_one_is_asked_for(
    sample: Sample, api: Api, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe, "utf-8"))
    seen: list[int] = []

    def look(request: Any) -> tuple[int, dict[str, str], str]:
        seen.append(pipe.getvalue().count(b"requests"))
        return 200, {}, json.dumps(REPORT)

    api.token(TOKEN)
    for end_point in ("first", "second"):
        api.mock.add_callback("GET", f"https://api.sse.cisco.com/reports/v2/{end_point}", look)
    assert sample.main("/first", "second") == 0
    assert seen == [0, 1]


def test_a_terminal_that_cannot_show_every_name(
    sample: Sample, api: Api, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe, "ascii"))
    api.token(TOKEN)
    api.report(json={"data": {"name": "Zürich", "half": "\ud800"}})
    assert sample.main(SUMMARY) == 0
    assert re.search(rb"Z\\(xfc|u00fc)rich", pipe.getvalue())  # escaped as Python does, or as JSON


def test_the_organization_and_a_stdout_of_another_kind(
    sample: Sample, api: Api, credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORG_ID", "77")
    monkeypatch.setattr("sys.stdout", io.StringIO())  # neither a terminal nor a file
    api.token(TOKEN)
    api.report()
    assert sample.main(SUMMARY) == 0
    assert api.requests[0].headers["X-Umbrella-OrgId"] == "77"


def test_missing_credentials(sample: Sample, main: Main, api: Api) -> None:
    assert main() == (
        2,
        "",
        "Settings: API_KEY is not set; API_SECRET is not set. Check the environment variables, "
        f"or try it without an account: {Path(sys.executable).name} -m common.sandbox {sample.script}\n",
    )
    assert api.wire == []


@pytest.mark.parametrize("end_point", ["", "/", "https://api.sse.cisco.com/reports/v2/summary", "a\nb"])
def test_a_malformed_end_point(sample: Sample, capsys: pytest.CaptureFixture[str], end_point: str) -> None:
    with pytest.raises(SystemExit) as error:
        sample.main(end_point)
    assert error.value.code == 2
    assert 'is not of the form "summary?from=-1days&to=now"' in capsys.readouterr().err


def test_help_fits_the_terminal(sample: Sample, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        sample.main("--help")
    assert error.value.code == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert f"\n\n{(sample.module.__doc__ or '').splitlines()[0]}\n\n" in out
    for name in ("API_KEY", "API_SECRET", "TOKEN_URL", "REPORTS_URL", "ORG_ID", "END_POINT"):
        assert f"\n  {name} " in out
    assert " what to report, " in out
    assert "  --show-token  log the whole access token" in out


def test_a_url_in_the_query_of_an_end_point(sample: Sample, api: Api, credentials: None) -> None:
    api.token(TOKEN)
    api.report("activity?url=https://x")
    assert sample.main("activity?url=https://x") == 0


def test_the_decorator_leaves_name_and_documentation() -> None:
    decorated = SAMPLES[1].query
    assert decorated.__name__ == "callSecureAccessApi"
    assert (decorated.__doc__ or "").startswith("Return the decoded report")


# The process


def test_importing_the_samples_has_no_side_effects() -> None:
    modules = ", ".join(sample.module.__name__ for sample in SAMPLES)
    done = run("-c", f"import logging, {modules}; print(logging.getLogger().handlers)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_without_docstrings(sample: Sample) -> None:
    done = run("-OO", sample.script)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Settings: API_KEY is not set")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, ""),
        (OSError(errno.EPIPE, "Broken pipe"), 0, ""),
        (OSError(errno.EINVAL, "Invalid argument"), 0, ""),
        (OSError(errno.ENOSPC, "No space left"), 1, "Cannot write the report: No space left\n"),
        (
            InsecureTransportError(),
            2,
            f"oauthlib refuses plain http. Use https, or let the sandbox start the script: {cli.SANDBOX} script.py\n",
        ),
    ],
)
def test_how_a_run_ends(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: BaseException,
    code: int,
    line: str,
) -> None:
    def main() -> int:
        raise error

    main.__module__ = "common"  # whose logger is reset after each test
    monkeypatch.setattr(sys, "argv", ["folder/script.py", "summary"])
    with open(tmp_path / "out", "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert cli.run(main, InsecureTransportError) == code
    assert capsys.readouterr().err == line


def test_no_stdout(sample: Sample, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert sample.main() == 1
    assert capsys.readouterr().err == "Cannot write the report: stdout is closed\n"


def test_the_sandbox_by_hand(credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the sandbox's child may use plain http with oauthlib; others are told so, and nothing is sent."""
    monkeypatch.setenv("TOKEN_URL", "http://127.0.0.1:1/auth/v2/token")
    done = run("oauthlib_api_sample_client.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "oauthlib refuses plain http. Use https, or let the sandbox start the script: "
        f"{Path(sys.executable).name} -m common.sandbox oauthlib_api_sample_client.py\n"
    )
