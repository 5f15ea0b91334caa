"""Both READMEs say what is so: code, commands, output, figures and links."""

import os
import re
import runpy
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import requests
from helpers import ROOT, run, run_here

from common import cli, config
from common.sandbox import SCENARIOS, Sandbox
from common.session import BACKOFF, TIMEOUT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMON = (ROOT / "common" / "README.md").read_text(encoding="utf-8")
HEADINGS = """\
## Quick start
## With your own account
## Your first script
## How the authorization works
## Which script should I use?
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
## See it fail, see it recover
## More reports
## Every row, every hour
## Can I trust it?
## Troubleshooting
"""


def section(heading, page=README):
    """Return the text from a heading of the second level to the next one."""
    after = page.partition(f"\n## {heading}\n")[2]
    assert after, heading
    return after.partition("\n## ")[0]


def blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@contextmanager
def in_sandbox(scenario):
    sandbox = Sandbox(scenario)
    with sandbox, patch.dict(os.environ, sandbox.environment()):
        yield sandbox


# The pages


def test_the_sections_are_in_the_order_of_their_readers():
    assert "".join(re.findall("^##+ .*\n", README, re.MULTILINE)) == HEADINGS


def test_the_pages_are_short():
    assert len(README.split()) <= 2200
    assert len(COMMON.split()) <= 1000
    assert len(README.partition("```shell")[0].split()) <= 120


@pytest.mark.parametrize("page", ["README.md", "common/README.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https://)(.*?)\)", text):
        file, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / file if file else ROOT / page
        assert linked.exists()
        assert not anchor or anchor in anchors(linked), target


def anchors(page):
    headings = re.findall("^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return [word.replace(" ", "-") for word in words]


def test_every_variable_of_the_help_is_explained():
    for name in re.findall("^  ([A-Z_]+)  ", cli.EPILOG, re.MULTILINE):
        assert name in section("With your own account")


def test_the_figures_are_those_of_the_code():
    connect, silence = map(int, TIMEOUT)
    assert f"A connection may take {connect} seconds" in COMMON
    assert f"{silence} seconds of silence" in COMMON
    retries = f"{len(BACKOFF)} retries within about {round(sum(BACKOFF))} seconds"
    assert retries in COMMON
    assert f"`TOKEN_URL`, by default `{config.TOKEN_URL}`" in README
    assert f"`REPORTS_URL`, by default `{config.REPORTS_URL}`" in README


# The walk-throughs


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
    text = section(f"Python `{name}` Client Example")
    (last_line,) = re.findall("last line(?: is)?: `(.*?)`", text)
    program = "".join(blocks("python", text)) + last_line
    with in_sandbox("normal"):
        exec(program, {"__name__": "walk_through"})
    assert "'requests': 9462" in capsys.readouterr().out


# The commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the scripts and the programs of the page."""
    folder = tmp_path_factory.mktemp("folder")
    shutil.copytree(ROOT / "common", folder / "common")
    for script in ROOT.glob("*.py"):
        shutil.copy(script, folder)
    (first,) = blocks("python", section("Your first script"))
    (program,) = blocks("python", section("Every row, every hour"))
    (folder / "first.py").write_text(first, encoding="utf-8")
    (folder / "my_program.py").write_text(program, encoding="utf-8")
    return folder


COMMANDS = set(re.findall(r"python3 (-m common\.sandbox [^`\n]*\.py[^`\n]*)", README))


@pytest.fixture(scope="module")
def outputs(folder):
    """What each command in the sandbox prints, stdout and stderr together."""

    outputs = {}
    for command in COMMANDS:
        done = run(*shlex.split(command), stderr=subprocess.STDOUT, cwd=folder)
        assert done.code == 0
        outputs[command] = done.out
    return outputs


def test_commands_print_what_is_shown(outputs):
    parts = README.split("```text\n")
    for before, after in zip(parts, parts[1:]):
        last_command = re.findall(r"python3 (-m common\.sandbox [^`\n]*)", before)[-1]
        for line in after.partition("```")[0].splitlines():
            assert re.search(pattern_of(line), outputs[last_command]), line


def pattern_of(line):
    """Return a pattern for a line of output, in which numbers and "..." may differ."""
    pattern = re.escape(line).replace(re.escape("..."), ".*")
    return re.sub(r"[0-9]{5,}(\\\.[0-9]+)?", "[0-9.]+", pattern)


needs_ipv4 = pytest.mark.skipif(
    all(address[0] != socket.AF_INET for address in socket.getaddrinfo("localhost", 1)),
    reason="localhost is ::1 alone here, which the scenario region cannot play",
)


@needs_ipv4
@pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("curl"), reason="there is no curl"
)
@pytest.mark.parametrize("scenario", ["normal", "region"])
def test_the_curl_commands(scenario):
    (commands,) = blocks("shell", section("How the authorization works"))
    bash = ["bash", "-ec", commands]
    done = run("-m", "common.sandbox", "--scenario", scenario, "--", *bash)
    assert '"requests": 9462' in done.out


# Scenario, what a plain client gets, what the scripts print.
TABLE = re.findall(
    r"^`([a-z-]+)` \| `?(.*?)`? \| (.*)$",
    section("See it fail, see it recover"),
    re.MULTILINE,
)
TOTAL = "total-requests?from=-1days&to=now"


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
        url = f"{os.environ['REPORTS_URL']}/{TOTAL}"
        response = requests.get(url, headers=headers)
        response.raise_for_status()
    return response.json()["data"]["count"]


@needs_ipv4
def test_what_a_plain_client_gets(clock):
    assert {row[0] for row in TABLE} == SCENARIOS.keys() - {"normal"}
    for scenario, result, _ in TABLE:
        with in_sandbox(scenario):
            if result == "too low a number":
                assert plain_client() < 9462
            else:
                with pytest.raises(requests.RequestException, match=result):
                    plain_client()


@needs_ipv4
def test_what_the_scripts_print(main, clock):
    for scenario, _, told in TABLE:
        with in_sandbox(scenario):
            done = main(TOTAL, TOTAL)
        if told == "exit code 1":
            assert done.code == 1, scenario
            assert done.failure.startswith("Could not get a ")
        else:
            number, line = re.match("(one|two) `(.*?)` line", told).groups()
            assert done.code == 0, scenario
            assert done.out.count("9462") == 2
            assert done.err.count(line) == {"one": 1, "two": 2}[number], scenario


# The program that people copy

WITH_REQUESTS = {
    "from oauthlib_api_sample_client import SecureAccessAPI": (
        "import functools\n"
        "from requests_api_sample_client import callSecureAccessApi, secureAccessAPI"
    ),
    "SecureAccessAPI(**load_settings())": "secureAccessAPI(**load_settings())",
    "api.Query": "functools.partial(callSecureAccessApi, api)",
}


@pytest.mark.parametrize("changes", [{}, WITH_REQUESTS], ids=["oauthlib", "requests"])
def test_my_program_passes_its_test(folder, tmp_path, monkeypatch, changes):
    program = (folder / "my_program.py").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in program
        program = program.replace(old, new)
    (test,) = blocks("python", section("Tests", COMMON))
    (tmp_path / "my_program.py").write_text(program, encoding="utf-8")
    (tmp_path / "test_my_program.py").write_text(test, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert "1 passed" in run("-m", "pytest", "-q", cwd=tmp_path).out


def test_a_run_makes_up_for_those_that_failed(folder, tmp_path, monkeypatch):
    main = runpy.run_path(str(folder / "my_program.py"))["main"]
    monkeypatch.chdir(tmp_path)
    with in_sandbox("down") as sandbox:
        assert run_here(main) == 1
        assert list(tmp_path.iterdir()) == []
        sandbox.scenario = "normal"
        assert run_here(main) == 0
        files = list(tmp_path.glob("*.jsonl"))
        assert len(files) == 24
        files[7].unlink()
        assert run_here(main) == 0
    assert files[7].exists()


def test_a_client_for_each_organization():
    (loop,) = blocks("python", section("Threads, processes, organizations", COMMON))
    names = runpy.run_path(str(ROOT / "oauthlib_api_sample_client.py"))
    with in_sandbox("normal") as sandbox:
        exec(f"{loop}    api.Query({TOTAL!r})", names)
    assert ", organization 7654321 -> 200" in sandbox.requests[-1]
