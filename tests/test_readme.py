"""The README says what is so: its code, commands, output, names and links."""

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest
from helpers import ROOT, run

from common import cli, config, transport
from common.sandbox import SCENARIOS, Sandbox


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


README = text_of("README.md")


def section(heading):
    """Return the text from a heading to the next one of its level or above."""
    level = heading.index(" ")
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", README, re.M | re.S)
    assert found, heading
    return found[1]


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


@pytest.mark.parametrize("name", ["oauthlib", "requests"])
def test_the_blocks_of_a_section_make_the_lesson(name, capsys):
    text = section(f"## Python `{name}` Client Example")
    shown = "".join(blocks("python", text))
    source = iter(text_of(f"{name}_api_sample_client.py").splitlines())
    assert [line for line in shown.splitlines() if line and line not in source] == []  # each line, in the same order
    imported = re.findall(r"\w+", " ".join(re.findall(r"^(?:from [\w.]+ )?import (.*)$", shown, re.M)))
    (use,) = re.findall("To try it: `(.*?)`", text)
    assert [word for word in imported if word != "annotations" and len(re.findall(word, shown + use)) < 2] == []
    with Sandbox() as sandbox, patch.dict(os.environ, sandbox.environment()):
        exec(shown + use, {"__name__": "walk_through"})
    assert "'requests': 9462" in capsys.readouterr().out


WITH_OAUTHLIB = [
    ("requests_api_sample_client import callSecureAccessApi, secure", "oauthlib_api_sample_client import Secure"),
    ("secureAccessAPI(**load_settings())", "SecureAccessAPI(**load_settings())"),
    ("callSecureAccessApi(api, end_point)", "api.Query(end_point)"),
]


@pytest.mark.parametrize("changes", [[], WITH_OAUTHLIB])
def test_my_program_and_its_test_pass_with_either_script(monkeypatch, capsys, tmp_path, changes):
    program, test = blocks("python", section("## Use it in your program"))
    for old, new in changes:
        assert old in program
        program = program.replace(old, new)
    (tmp_path / "my_program.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    names = {}
    exec(test, names)
    del sys.modules["my_program"]
    names["test_every_row_although_the_token_is_revoked"](capsys)


COMMANDS = sorted(set(re.findall(r"python3 (?:-m common.sandbox )?([^`\n]*client\.py[^`\n]*)", README)))
# Each sample output, by the last command before it.
PARTS = README.split("```text\n")
OUTPUTS = {
    re.findall(r"common.sandbox ([^`\n]*client\.py[^`\n]*)", before)[-1]: after.partition("```")[0]
    for before, after in zip(PARTS, PARTS[1:])
}


def run_in_sandbox(command):
    return run("-m", "common.sandbox", *shlex.split(command), stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def outcomes():
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(COMMANDS, pool.map(run_in_sandbox, COMMANDS)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_what_is_shown(outcomes, command):
    if "needs 127.0.0.1 for localhost" in outcomes[command].out:
        pytest.skip("localhost is ::1 alone here")
    assert outcomes[command].code == 0
    assert lines(OUTPUTS.get(command, outcomes[command].out)) == lines(outcomes[command].out)


def lines(output):  # without what differs in each run, and each one once
    return list(dict.fromkeys(re.sub(r"(?<='expires_at': )[\d.]+|(?<=localhost:)\d+", "...", output).splitlines()))


TABLE = re.findall(r"^\| (`.*?) \| .* \| (.*) \|$", section("## See it fail, see it recover"), re.M)
LOOK_FOR = {name: told for names, told in TABLE for name in re.findall("`(.*?)`", names)}


@pytest.mark.parametrize("scenario", LOOK_FOR)
def test_a_scenario_shows_what_the_table_says(main, clock, scenario):
    with Sandbox(scenario) as sandbox, patch.dict(os.environ, sandbox.environment()):
        code, out, err = main()
    look_for = re.match("(one|two) `(.*?)`", LOOK_FOR[scenario])
    if look_for:
        assert (code, out.count("'requests'") or out.count('"requests"')) == (0, 2)
        assert err.count(look_for[2]) == ["one", "two"].index(look_for[1]) + 1
    else:
        assert LOOK_FOR[scenario] == "one line that says what to do, exit code 1"
        assert (code, out, err.count("Could not get")) == (1, "", 1)


def test_every_scenario_variable_and_figure_of_the_code_is_there():
    assert {"normal", *LOOK_FOR} == set(SCENARIOS)
    account = section("## With your own account")
    assert [name for name in re.findall("^  ([A-Z_]+)  ", cli.EPILOG, re.M) if name not in account] == []
    assert f"`{config.TOKEN_URL}` and `{config.REPORTS_URL}`" in account
    connect, silence = map(int, transport.TIMEOUT)
    assert f"{connect} seconds to connect, {silence} seconds of silence, {len(transport.BACKOFF)} retries" in README


def test_links_lead_somewhere():
    headings = re.findall(r"^#+ (.*)$", README, re.M)
    anchors = {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    targets = [target for target in re.findall(r"\]\((.*?)\)", README) if not target.startswith("https://")]
    assert [target for target in targets if target not in anchors and not (ROOT / target).exists()] == []


def test_the_sections_of_the_published_page_are_there_in_its_order():
    published = """Prerequisites|Overview|Python `oauthlib` Client Example|Install the OAuth Python Libraries|Initialize
HTTP Client|Create HTTP Request|Run `oauthlib` Python Client|Python `requests` Client Example|Initialize a Python
Class|Create Access Token|Refresh Access Token|Secure Access API Request|Run `requests` Python Client"""
    headings = re.findall("^##+ (.*)$", README, re.M)
    assert re.search(published.replace("\n", " ").replace("|", "\n"), "\n".join(headings))
