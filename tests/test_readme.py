"""The README says what is so: its code, commands, output, figures and links."""

import ast
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import requests
from helpers import ROOT, run

from common import cli, config, session
from common.sandbox import SCENARIOS, Sandbox

README = (ROOT / "README.md").read_text(encoding="utf-8")
PUBLISHED_HEADINGS = """\
## Prerequisites
## Overview
## Python `oauthlib` Client Example
### Install the OAuth Python Libraries
### Initialize HTTP Client
### Create HTTP Request
### Run `oauthlib` Python Client
## Python `requests` Client Example
### Initialize a Python Class
### Create Access Token
### Refresh Access Token
### Secure Access API Request
### Run `requests` Python Client
"""


def section(heading):
    """Return the text from a heading of the second level to the next one."""
    after = README.partition(f"\n## {heading}\n")[2]
    assert after, heading
    return after.partition("\n## ")[0]


@contextmanager
def in_sandbox(scenario):
    with Sandbox(scenario) as sandbox, patch.dict(os.environ, sandbox.environment()):
        yield


def blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_curl(command, variables):
    """Run a command as a shell would, with these environment variables."""
    with patch.dict(os.environ, variables):
        words = shlex.split(os.path.expandvars(command))
    return json.loads(subprocess.check_output([*words, "--silent"], timeout=20))


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_two_curl_commands():
    for_token, for_report = blocks("shell", section("How the authorization works"))
    with Sandbox() as sandbox:
        variables = sandbox.environment()
        token = run_curl(for_token, variables)
        variables["ACCESS_TOKEN"] = token["access_token"]
        report = run_curl(for_report, variables)
    assert report["data"]["requests"] == 9462


@pytest.mark.parametrize("name", ["oauthlib", "requests"])
def test_the_blocks_are_those_of_the_script(name):
    source = (ROOT / f"{name}_api_sample_client.py").read_text(encoding="utf-8")
    source_lines = iter(source.splitlines())
    shown = "".join(blocks("python", section(f"Python `{name}` Client Example")))
    for line in shown.splitlines():
        # In the same order, since each search goes on where the last one ended.
        assert not line or line in source_lines, line


@pytest.mark.parametrize("name", ["oauthlib", "requests"])
def test_the_blocks_pasted_in_order_are_a_program(name, capsys):
    program = walk_through(name)
    with in_sandbox("normal"):
        exec(program, {"__name__": "walk_through"})
    assert "'requests': 9462" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["oauthlib", "requests"])
def test_the_blocks_import_nothing_that_they_do_not_use(name):
    nodes = list(ast.walk(ast.parse(walk_through(name))))
    imported = {node.name for node in nodes if isinstance(node, ast.alias)}
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert imported - used == {"annotations"}


def walk_through(name):
    text = section(f"Python `{name}` Client Example")
    (use,) = re.findall("To try it, add `(.*?)`,", text)
    return "".join(blocks("python", text)) + use


WITH_OAUTHLIB = {
    "requests_api_sample_client import callSecureAccessApi, secureAccessAPI": (
        "oauthlib_api_sample_client import SecureAccessAPI"
    ),
    "secureAccessAPI(**load_settings())": "SecureAccessAPI(**load_settings())",
    "callSecureAccessApi(api, end_point)": "api.Query(end_point)",
}


@pytest.mark.parametrize("changes", [{}, WITH_OAUTHLIB], ids=["requests", "oauthlib"])
def test_my_program_passes_its_test(tmp_path, monkeypatch, changes):
    program, test = blocks("python", section("Use it in your program"))
    for old, new in changes.items():
        assert old in program
        program = program.replace(old, new)
    (tmp_path / "my_program.py").write_text(program, encoding="utf-8")
    (tmp_path / "test_my_program.py").write_text(test, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run("-m", "pytest", "-q", cwd=tmp_path)
    assert "1 passed" in done.out, done.out


COMMANDS = set(
    re.findall(r"python3 -m common\.sandbox ([^`\n]*client\.py[^`\n]*)", README)
)


@pytest.fixture(scope="module")
def outputs():
    """What each command in the sandbox prints, stdout and stderr together."""

    def run_in_sandbox(command):
        words = shlex.split(command)
        done = run("-m", "common.sandbox", *words, stderr=subprocess.STDOUT)
        assert done.code == 0, done.out
        return done.out

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(COMMANDS, pool.map(run_in_sandbox, COMMANDS)))


needs_ipv4 = pytest.mark.skipif(
    all(address[0] != socket.AF_INET for address in socket.getaddrinfo("localhost", 1)),
    reason="localhost is ::1 alone here, which the scenario region cannot play",
)


@needs_ipv4
def test_commands_print_what_is_shown(outputs):
    parts = README.split("```text\n")
    for before, after in zip(parts, parts[1:]):
        last_command = re.findall(
            r"common\.sandbox ([^`\n]*client\.py[^`\n]*)", before
        )[-1]
        for line in after.partition("```")[0].splitlines():
            assert re.search(pattern_of(line), outputs[last_command]), line


def pattern_of(line):
    """Return a pattern for a line of output, in which numbers and "..." may differ."""
    pattern = re.escape(line).replace(re.escape("..."), ".*")
    return re.sub(r"[0-9]{5,}(\\\.[0-9]+)?", "[0-9.]+", pattern)


# Scenario, what a plain client gets, what the scripts print.
TABLE = re.findall(
    r"^\| `(\S+)` \|[^|]*\| `(.*)` \| (.*) \|$",
    section("See it fail, see it recover"),
    re.MULTILINE,
)


def test_the_table_has_every_scenario():
    scenarios = [scenario for scenario, _, _ in TABLE]
    assert sorted(["normal", *scenarios]) == sorted(SCENARIOS)


def plain_client():
    """What one would write first: no retries, no new token, no redirects with it."""
    response = requests.post(
        os.environ["TOKEN_URL"],
        data={"grant_type": "client_credentials"},
        auth=(os.environ["API_KEY"], os.environ["API_SECRET"]),
    )
    response.raise_for_status()
    headers = {"Authorization": "Bearer " + response.json()["access_token"]}
    for _ in range(2):
        url = os.environ["REPORTS_URL"] + "/summary?from=-1days&to=now"
        requests.get(url, headers=headers).raise_for_status()


@needs_ipv4
def test_what_a_plain_client_gets(clock):
    for scenario, failure, _ in TABLE:
        expected = pytest.raises(requests.RequestException, match=failure)
        with in_sandbox(scenario), expected:
            plain_client()


@needs_ipv4
def test_what_the_scripts_print(main, clock):
    for scenario, _, told in TABLE:
        with in_sandbox(scenario):
            done = main()
        if told == "an error line, exit code 1":
            assert done.code == 1, scenario
            assert done.failure.startswith("Could not get a ")
        else:
            number, line = re.match("(one|two) `(.*?)` line", told).groups()
            assert done.code == 0, scenario
            assert done.out.count("requestsblocked") == 2
            assert done.err.count(line) == {"one": 1, "two": 2}[number], scenario


def test_every_variable_of_the_help_is_explained():
    for name in re.findall("^  ([A-Z_]+)  ", cli.EPILOG, re.MULTILINE):
        assert name in section("With your own account")


def test_the_figures_are_those_of_the_code():
    connect, silence = map(int, session.TIMEOUT)
    assert f"{connect} seconds to connect" in README
    assert f"{silence} seconds of silence" in README
    assert f"{len(session.BACKOFF)} retries" in README
    assert f"`TOKEN_URL`, by default `{config.TOKEN_URL}`" in README
    assert f"`REPORTS_URL`, by default `{config.REPORTS_URL}`" in README


def test_links_lead_somewhere():
    headings = re.findall("^#+ (.*)$", README, re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    anchors = ["#" + heading.replace(" ", "-") for heading in words]
    for target in re.findall(r"\]\((?!https://)(.*?)\)", README):
        assert target in anchors or (ROOT / target).exists(), target


def test_the_sections_of_the_published_page_are_there_in_its_order():
    headings = re.findall("^##+ .*\n", README, re.MULTILINE)
    assert PUBLISHED_HEADINGS in "".join(headings)
