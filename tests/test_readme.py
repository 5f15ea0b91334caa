"""The README says what is so: its code, commands, output, names, messages and links."""

from __future__ import annotations

import ast
import http.client
import inspect
import re
import shlex
import subprocess
from types import ModuleType

import pytest
from helpers import ROOT, run

from common import answers, cli, config, errors, sandbox, session
from common.sandbox import REPORTS, SCENARIOS


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README = text_of("README.md")
PROSE = re.sub(r"^ *```.*?^ *```$", "", README, flags=re.M | re.S)
SCRIPTS = ("oauthlib_api_sample_client.py", "requests_api_sample_client.py")
PROGRAMS = ("tests/programs/my_program.py", "tests/programs/test_my_program.py")
NAMES = ("config", "session", "answers", "errors", "cli", "sandbox", "sandbox_reports")
MODULES = [f"common/{name}.py" for name in NAMES]
CODE = "\n".join(text_of(name) for name in MODULES)


def section(heading: str) -> str:
    """Return the text from a heading to the next one of its level or above."""
    level = heading.index(" ")
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{level}}} |\Z)", README, re.M | re.S)
    assert found, heading
    return found[1]


def blocks(language: str, text: str = README) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.M | re.S)
    return [re.sub(f"^{indentation}", "", block, flags=re.M) for indentation, block in found]


# Code


def imports_of(code: str) -> set[str]:
    """Return `import MODULE` and `from MODULE import NAME`, one for each name."""
    found = set()
    for node in ast.parse(code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            start = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            found |= {f"{start}import {alias.name}" for alias in node.names}
    return found


def outline(code: str) -> str:
    """Return what the code does, without imports and docstrings."""
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if isinstance(node, (ast.Assign, ast.ClassDef, ast.FunctionDef))]
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            del node.body[0]
    return ast.dump(tree)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_blocks_of_a_section_make_the_script(script: str) -> None:
    text = section(f"## Python `{script.partition('_')[0]}` Client Example")
    shown = "".join(blocks("python", text))
    source = text_of(script).partition("\ndef main()")[0]
    assert outline(shown) == outline(source)
    code = [line for line in shown.splitlines() if line and not re.match("import|from", line)]
    lines = iter(source.splitlines())
    assert [line for line in code if line not in lines] == []  # comments and layout: each line, in the same order

    used = {node.id for node in ast.walk(ast.parse(shown)) if isinstance(node, ast.Name)}
    needed = {line for line in imports_of(source) if line.split()[-1] in used}
    assert imports_of(shown) <= needed
    told = {f"`{line.split()[1]}`" for line in needed - imports_of(shown)}
    assert all(module in text.partition("```python")[0] for module in told)


def test_my_program(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [text_of(program) for program in PROGRAMS] == blocks("python", section("## Use it in your program"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run("-m", "common.sandbox", PROGRAMS[0])
    assert (done.returncode, done.stdout) == (0, "5000 records from 0\n4462 records from 5000\n"), done.stderr


def test_the_comparison_table_quotes_the_scripts() -> None:
    rows = re.findall(r"^\| `(.*)` \| `(.*)` \|$", section("### Run `requests` Python Client"), re.M)
    assert len(rows) > 1
    for row in rows:
        for cell, script in zip(row, SCRIPTS):
            assert all(code in text_of(script) for code in cell.split("`, `"))


# Commands and their output


def commands() -> list[str]:
    """Return every command that runs a script; where it needs an account, it leads to the sandbox."""
    lines = [line for block in blocks("shell") for line in block.splitlines() if re.search(r"^python3 .*\.py", line)]
    return [line if "sandbox" in line else line.replace("python3", "python3 -m common.sandbox") for line in lines]


# Each sample output, by the last command before it.
PARTS = README.split("```text\n")
OUTPUTS = {
    re.findall(r"^ *(python3 .*)$", before, re.M)[-1]: after.partition("```")[0]
    for before, after in zip(PARTS, PARTS[1:])
}


@pytest.mark.parametrize("line", dict.fromkeys(commands()))
def test_command(line: str) -> None:
    done = run(*shlex.split(line)[1:], stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    if line in OUTPUTS:
        assert without_expiry(done.stdout) == without_expiry(OUTPUTS[line])


def without_expiry(output: str) -> str:
    return re.sub(r"'expires_at': \d{10}(\.\d+)?}", "'expires_at': ...}", output)


def test_every_sample_output_is_compared() -> None:
    assert len(blocks("text")) == len(OUTPUTS) == len(OUTPUTS.keys() & set(commands()))


def test_the_quick_start_has_two_blocks_for_each_shell() -> None:
    text = section("## Quick start")
    for language in ("shell", "powershell"):
        sample, tests = blocks(language, text)
        assert " requirements.txt\n" in sample
        assert "-m common.sandbox oauthlib_api_sample_client.py\n" in sample
        assert " tests/requirements.txt\n" in tests
        assert tests.endswith("-m pytest\n")
        assert "venv .venv" in sample and "venv .venv" in tests


# Names


def test_every_scenario() -> None:
    table = re.findall(r"^\| (`.*?) \|", section("## See it fail, see it recover"), re.M)
    assert re.findall(r"`(.*?)`", " ".join(table)) == list(SCENARIOS)


def test_every_environment_variable() -> None:
    known = re.findall(r"^  ([A-Z_]{4,})  ", cli.EPILOG, re.M)
    assert known == re.findall(r'"([A-Z_]+)": ', inspect.getsource(config.load_settings))
    assert [name for name in known if name not in section("## With your own account")] == []
    assert f"`{config.TOKEN_URL}` and `{config.REPORTS_URL}`" in README


def test_every_option() -> None:
    options = set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', CODE))
    others = {"--quiet", "--proxy", "--with-requirements"}  # of pip and uv
    assert set(re.findall(r"(?<![\w|-])--[a-z][a-z-]*", README)) - others == options


def test_every_end_point_of_the_sandbox() -> None:
    assert set(re.findall(r'"([a-z-]+)\?', "".join(blocks("shell")))) == set(REPORTS)


def test_the_figures_are_those_of_the_code() -> None:
    assert "at most 6 seconds for each address of a host. After 30 seconds of silence" in README
    assert session.TIMEOUT == (6.05, 30)
    assert "may take 300 seconds and 128 MiB" in README
    assert (session.ANSWER_TIME, session.ANSWER_MAX) == (300, 128 * 1024 * 1024)
    assert "429, 500, 502, 503 and 504 are tried again up to three times" in README
    assert (session.RETRY_STATUSES, session.RETRIES) == ((429, 500, 502, 503, 504), 3)
    assert "`Retry-After` of up to 30 seconds" in README
    assert session.RETRY_AFTER_MAX == 30


# Messages

ROWS = re.findall(r"^\| (.*`.*) \| .* \|$", section("## Troubleshooting"), re.M)
QUOTED = re.findall(r"`(.*?)`", "\n".join(ROWS))
STATUSES = {f"{status} {phrase}" for status, phrase in http.client.responses.items()}
OTHERS = {  # of Python, pip and the shell
    "No matching distribution found",
    "requires a different Python",
    "future feature annotations is not defined",
    "ensurepip is not available",
    "externally-managed-environment",
    "No module named 'oauthlib'",
    "'requests'",
    "No module named 'common'",
    "Python was not found",
    "no matches found",
    "unrecognized arguments",
}


def test_every_message_of_the_readme_is_one_of_the_code() -> None:
    assert [text for text in QUOTED if text not in CODE and text not in STATUSES | OTHERS] == []
    assert set(QUOTED) >= OTHERS


MESSAGES = [  # where the code says what to look for, and how often: what is laid out otherwise must not be overlooked
    (answers, r'bad_answer\(response, f?"(.*?) ?["{]', 8),
    (errors, r'words = f"redirected to .*, (which .*)"', 1),
    (errors, r'" (\(a web page\))"', 1),
    (session, r'log\.info\("(.*?) %', 2),
    (config, r'return (?:None if .* else )?"(.+?)(?:: .*)?"', 7),
    (cli, r'log\.error\("(Cannot write the report|oauthlib refuses plain http)', 3),
    (cli, r"ArgumentTypeError\(f'.* (is not of the form)", 1),
    (sandbox, r'parser\.error\(f"(.*?) {', 2),
]


@pytest.mark.parametrize(("module", "pattern", "how_many"), MESSAGES)
def test_every_message_of_a_module_is_in_the_readme(module: ModuleType, pattern: str, how_many: int) -> None:
    messages = re.findall(pattern, inspect.getsource(module))
    assert len(messages) == how_many
    assert [text for text in messages if text not in QUOTED] == []


def test_every_cause_is_in_the_readme() -> None:
    assert {cause.words for _, _, cause in errors.CAUSES} - set(QUOTED) == set()


def test_every_status_is_in_the_readme() -> None:
    for asked_for, remedies in errors.REMEDIES.items():
        rows = "".join(row for row in ROWS if row.startswith(asked_for.capitalize()))
        assert {int(status) for status in re.findall(r"`(\d+) ", rows)} == set(remedies)


# Links and headings


def test_links_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", PROSE, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    targets = re.findall(r"\]\((.*?)\)", PROSE)
    assert targets
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            assert (ROOT / target).exists()


def test_the_published_order_of_sections() -> None:
    published = [
        "## Prerequisites",
        "## Overview",
        "## Python `oauthlib` Client Example",
        "### Install the OAuth Python Libraries",
        "### Initialize HTTP Client",
        "### Create HTTP Request",
        "### Run `oauthlib` Python Client",
        "## Python `requests` Client Example",
        "### Initialize a Python Class",
        "### Create Access Token",
        "### Refresh Access Token",
        "### Secure Access API Request",
        "### Run `requests` Python Client",
    ]
    headings = re.findall(r"^##+ .*$", PROSE, re.M)
    assert [heading for heading in headings if heading in published] == published


def test_the_diagram_holds_no_character_that_ends_a_statement() -> None:
    (diagram,) = blocks("mermaid")
    assert ";" not in diagram
