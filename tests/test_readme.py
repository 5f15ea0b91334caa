"""The README says what is so: its code, commands, output, names and links."""

from __future__ import annotations

import ast
import http.client
import inspect
import os
import re
import shutil
import subprocess
import sys
import textwrap
from typing import Any, Callable, Iterator

import pytest
from helpers import ROOT, SAMPLES, Sample, run_all

from common import answers, cli, config, sandbox
from common.answers import NO_ANSWER
from common.sandbox import REPORTS, SCENARIOS

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"^ *```.*?^ *```$", "", README, flags=re.M | re.S)
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.rglob("*.py") if ".venv" not in path.parts
}
SHIPPED = "\n".join(text for name, text in SOURCES.items() if not name.startswith("tests/"))
TROUBLES = re.findall(r"^\| (.*?) \| .*\|$", README.partition("## Troubleshooting")[2].partition("\n## ")[0], re.M)


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", README, re.M | re.S)
    return [textwrap.dedent(text) for _, text in found]


# The last command before each sample output, and the output.
OUTPUTS = {
    before.rpartition("\n```\n")[0].rpartition("\n")[2]: after.partition("```")[0]
    for before, after in zip(README.split("```text\n"), README.split("```text\n")[1:])
}

# Code


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block_stands_in_a_source_with_the_imports_it_needs(block: str) -> None:
    sources = [text for text in SOURCES.values() if is_slice(block, text)]
    assert sources, "not a verbatim slice"
    needed = {
        name: line for line in sources[0].splitlines() if re.match(r"import|from", line) for name in imported(line)
    }
    tree = ast.parse(block)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    missing = {needed[name] for name in used if name in needed} - set(block.splitlines())
    assert not missing
    if re.search(r"[:>] (dict\[|\w+ \| None)", block):  # Python 3.8 must not evaluate these
        assert "from __future__ import annotations" in block


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.script for sample in SAMPLES])
def test_the_python_blocks_define_what_they_use_of_a_script(sample: Sample) -> None:
    source = SOURCES[sample.script]
    shown = [block for block in blocks("python") if is_slice(block, source)]
    tree = ast.parse("\n".join(shown))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert len(shown) > 2
    assert used & defined(ast.parse(source)) - defined(tree) == set()


def defined(tree: ast.Module) -> set[str]:
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    return names | {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def is_slice(block: str, text: str) -> bool:
    return all(stands_in(part, text) for part in block.split("\n\n\n"))


def stands_in(part: str, text: str) -> bool:
    """Is the part in the text, line by line for imports, else as a whole at one indentation?"""
    if re.match(r"import|from", part):
        return {line for line in part.splitlines() if line} <= set(text.splitlines())
    return any(textwrap.indent(part.strip("\n"), " " * depth) + "\n" in text for depth in (0, 4))


def imported(line: str) -> list[str]:
    return [alias.name for node in ast.parse(line).body for alias in getattr(node, "names", [])]


@pytest.mark.parametrize("client", ["oauthlib", "requests"])
def test_program(run: Callable[..., Any], client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = run("-m", "common.sandbox", f"tests/programs/with_{client}.py")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {"oauthlib": 3, "requests": 2}
    assert len(done.stdout.splitlines()) == lines[client]


# Commands and their output


def commands() -> Iterator[str]:
    """Yield every command line that needs no network, and leads to the sandbox where it needs an account."""
    quick_start = README.partition("## Quick start")[2].partition("\n## ")[0]
    lines = [line for block in blocks("shell") for line in block.splitlines()]
    lines += re.findall(r"\| `(python3 .*?)` \|", README)
    for line in dict.fromkeys(lines):
        if line.startswith("python3") and (line not in quick_start or "common.sandbox" in line):
            yield line if "common.sandbox" in line else line.replace("python3", "python3 -m common.sandbox", 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every line, run as a POSIX shell does, with `python3` as this Python."""
    python3 = tmp_path_factory.mktemp("bin") / "python3"
    python3.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python3.chmod(0o755)
    environ = {**os.environ, "PATH": f"{python3.parent}{os.pathsep}{os.environ['PATH']}"}
    lines = {line: line if shutil.which("jq") else line.partition(" | jq")[0] for line in commands()}
    shells = {line: ["sh", "-c", shown] for line, shown in lines.items()}
    return run_all(shells, env=environ, stderr=subprocess.STDOUT)


@pytest.mark.skipif(sys.platform == "win32", reason="the lines are for a POSIX shell")
@pytest.mark.parametrize("line", list(commands()))
def test_command(runs: dict[str, Any], line: str) -> None:
    done = runs[line]
    assert done.returncode == (1 if "bad-key" in line or "no-scope" in line else 0), done.stdout
    if line in OUTPUTS:
        assert fixed(done.stdout) == fixed(OUTPUTS[line])


def fixed(output: str) -> str:
    """Return the output with the time of expiry, a number of either type, made the same."""
    return re.sub(r"'expires_at': \d{10}(\.\d+)?}", "'expires_at': ...}", output)


def test_every_sample_output_is_compared() -> None:
    assert len(blocks("text")) == len(OUTPUTS) == len(OUTPUTS.keys() & set(commands()))


# Names, in both directions


def test_every_scenario() -> None:
    assert set(re.findall(r"--scenario ([\w-]+)", README)) == set(SCENARIOS)


def test_every_environment_variable() -> None:
    known = {*re.findall(r"^  ([A-Z_]{4,})  ", cli.EPILOG, re.M)}
    assert known == {"API_KEY", "API_SECRET", "TOKEN_URL", "REPORTS_URL", "ORG_ID"}
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.M))
    assert documented == known
    assert set(re.findall(r'"([A-Z_]+)": ', inspect.getsource(config.load_settings))) == known
    exported = set(re.findall(r"(?:export |\$env:)([A-Z_]+)", README))
    assert exported <= known | {"REQUESTS_CA_BUNDLE", "HTTPS_PROXY"}
    assert {"REQUESTS_CA_BUNDLE", "HTTPS_PROXY"} <= set(re.findall(r"[A-Z_]{5,}", inspect.getsource(answers)))


def test_every_option() -> None:
    named = set(re.findall(r"(?<![\w|-])--[a-z][a-z-]*", README)) - {"--quiet"}
    assert named == set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', SHIPPED))


def test_every_file() -> None:
    named = set(re.findall(r"^\| `([\w/.]+)` \| (?!.*python3)", README, re.M)) - set(REPORTS)
    named = {name for name in named if "/" in name or "." in name}
    shipped = {name for name in SOURCES if not name.startswith(("tests/", "common/__init__", "."))}
    assert named == shipped | {"tests/", "requirements.txt"}


def test_every_end_point_of_the_sandbox() -> None:
    table = README.partition("## More reports")[2]
    assert set(re.findall(r"^\| `([\w-]+)` \| .* \| `python3", table, re.M)) == set(REPORTS)


def test_every_message_of_the_readme_is_one_of_the_code() -> None:
    quoted = [text for cell in TROUBLES for text in re.findall(r"`(.*?)`", cell)]
    statuses = {f"{code} {phrase}" for code, phrase in http.client.responses.items()}
    oauthlib = "OAuth 2 MUST utilize https"
    for text in quoted:
        first, _, status = text.partition(" from ...: ")
        known = text in SHIPPED or text in statuses or text == oauthlib or (status in statuses and first in SHIPPED)
        assert known or (first in ("No token", "No report") and status in statuses), text


def test_every_message_of_the_code_is_in_the_readme() -> None:
    told = "\n".join(TROUBLES)
    for _, words, _, _ in NO_ANSWER:
        assert f"`{words}`" in told
    for status in answers.TOKEN_REMEDIES:
        assert f"`No token from ...: {status} " in told
    for status in answers.REPORT_REMEDIES:
        assert f"`No report from ...: {status} " in told
    for node in ast.walk(ast.parse(inspect.getsource(answers))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_failure" and len(node.args) > 1:
            assert f"`{ast.literal_eval(node.args[1])}`" in told
    for node in ast.walk(ast.parse(inspect.getsource(config))):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            assert f"`{node.value.value}`" in told
    for module, words in (
        (cli, "Cannot write the report"),
        (cli, "is not of the form"),
        (sandbox, "cannot serve on port"),
    ):
        assert words in inspect.getsource(module) and f"`{words}`" in told


def test_the_figures_are_those_of_the_code() -> None:
    from common import session

    assert "at most 6 seconds for a connection, and for at most 30 seconds" in README
    assert session.TIMEOUT == (6.05, 30)
    assert "retried up to three times; a `Retry-After` of up to 30 seconds" in README
    assert (session.RETRIES, session.RETRY_AFTER_MAX) == (3, 30)
    assert "429, 500, 502, 503 and 504" in README
    assert session.RETRY_STATUSES == (429, 500, 502, 503, 504)
    assert "tries again after about half a second, then after about a second" in README
    assert session.BACKOFF == 0.5
    assert "more than five redirects" in README
    assert session.MAX_REDIRECTS == 5


def test_the_published_names_are_there() -> None:
    names = ["secureAccessAPI", "getAccessToken", "refreshToken", "callSecureAccessApi", "GetToken", "end_point"]
    sources = "".join(inspect.getsource(sample.module) for sample in SAMPLES)
    assert [name for name in names if name not in sources] == []


# Links


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
    assert diagram.startswith("sequenceDiagram\n")
    assert ";" not in diagram
