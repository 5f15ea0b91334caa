"""The command line: arguments, exit codes, the log, and what becomes of stdout."""

import io
import logging
import os
import re
import sys
from contextlib import contextmanager, redirect_stdout
from unittest.mock import Mock

import pytest
import requests
from helpers import run, run_here

from common.config import REPORTS_URL


@contextmanager
def stdout_as_pipe():
    """Make stdout a pipe, and return the end that is read."""
    read, write = os.pipe()
    reader = os.fdopen(read)
    with reader, os.fdopen(write, "w") as stdout, redirect_stdout(stdout):
        yield reader


def print_and_fail():
    print("report")
    raise requests.ConnectionError("no route")


# Exit codes


def test_a_failure_of_the_api(capsys):
    assert run_here(print_and_fail) == 1
    out, err = capsys.readouterr()
    assert out == "report\n"
    assert err.startswith("Could not get a token or a report: ConnectionError (no ro")
    assert err.count("\n") == 1


def test_what_a_program_returns_is_its_exit_code():
    assert run_here(lambda: None) == 0
    assert run_here(lambda: 3) == 3


def test_ctrl_c_in_a_notebook(monkeypatch, capsys):
    def main():
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert run_here(main) == 130
    assert capsys.readouterr().err == ""


def test_a_failure_of_the_settings(sample, monkeypatch):
    monkeypatch.delenv("API_KEY")
    monkeypatch.delenv("API_SECRET")
    done = run(sample.script)
    assert done.code == 2
    assert done.out == ""
    assert done.failure.startswith("Settings: API_KEY is not set")
    assert "; API_SECRET is not set" in done.failure


# A program's own exceptions


def test_a_missing_file_ends_in_a_traceback_and_no_row_is_lost(tmp_path):
    program = (
        "from common.cli import run\n"
        "def main():\n"
        "    for row in range(26): print(row)\n"
        "    open('missing.csv')\n"
        "run(main)\n"
    )
    rows = tmp_path / "rows"
    with rows.open("w") as stdout:
        done = run("-c", program, stdout=stdout)
    assert done.code == 1
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "FileNotFoundError: " in done.err
    assert rows.read_text().split()[-1] == "25"


# Output


def test_what_is_printed_after_a_failure_is_not_lost():
    with stdout_as_pipe() as reader:
        run_here(print_and_fail)
        print("and more")
        sys.stdout.close()
        assert reader.read() == "report\nand more\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no BrokenPipeError there")
@pytest.mark.parametrize(
    ("main", "failures"),
    [(lambda: print("x"), 0), (lambda: print("x" * 100_000), 0), (print_and_fail, 1)],
)
def test_a_reader_that_has_gone(capsys, main, failures):
    with stdout_as_pipe() as reader:
        reader.close()
        assert run_here(main) == 1
    assert capsys.readouterr().err.count("\n") == failures


def test_no_stdout_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run_here(lambda: print("report")) == 0
    assert run_here(print_and_fail) == 1


def test_a_stdout_that_can_only_be_written(main, api, monkeypatch):
    api.report(f"{REPORTS_URL}/report")
    monkeypatch.setattr(sys, "stdout", Mock(spec=["write", "flush"]))
    assert main("report").code == 0
    assert sys.stdout.flush.called, "a report waits for the next one"


def test_a_program_may_close_stdout():
    def main():
        with sys.stdout as out:
            out.write("report")

    with stdout_as_pipe() as reader:
        assert run_here(main) == 0
        assert reader.read() == "report"


def test_what_a_terminal_cannot_show_is_escaped(main, api, monkeypatch):
    api.report(json={"meta": {}, "data": "Zürich"})
    terminal = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main("summary?from=-1days&to=now").code == 0
    assert re.search(rb"Z\\(xfc|u00fc)rich", terminal.buffer.getvalue())


def test_the_output_of_a_program_is_its_own(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    with pytest.raises(UnicodeEncodeError):
        run_here(lambda: print("Zürich"))


# The log


def test_a_program_shows_the_log_of_the_script_that_it_imports(query, api, capsys):
    def my_main():
        logging.getLogger("urllib3.connectionpool").warning("broken response")
        query("report")

    api.report(f"{REPORTS_URL}/report")
    run_here(my_main)
    err = capsys.readouterr().err
    assert err.startswith("Token: ")
    assert err.count("\n") == 1


def test_a_failure_is_in_the_log_of_a_program(tmp_path):
    """What a program has set up stays: its file, its format, its levels."""
    file = tmp_path / "program.log"
    program = (
        "import logging, requests\n"
        "from common.cli import run\n"
        f"logging.basicConfig(filename={str(file)!r}, level=logging.DEBUG)\n"
        "logging.getLogger('common').setLevel(logging.WARNING)\n"
        "def main():\n"
        "    logging.getLogger('common.session').info('Trying again')\n"
        "    logging.getLogger('urllib3').debug('detail')\n"
        "    raise requests.Timeout('slow')\n"
        "raise SystemExit(run(main))\n"
    )
    assert run("-c", program) == (1, "", "")
    detail, failure = file.read_text().splitlines()
    assert detail == "DEBUG:urllib3:detail"
    assert failure.startswith("ERROR:root:Could not get a token or a report: Timeout")


def test_a_failure_is_shown_even_if_the_log_is_configured_away():
    program = (
        "import logging.config, requests\n"
        "from common.cli import run\n"
        "def main():\n"
        "    logging.config.dictConfig({'version': 1})\n"
        "    raise requests.Timeout('slow')\n"
        "raise SystemExit(run(main))\n"
    )
    assert "Timeout (slow)" in run("-c", program).failure


def test_without_stderr_a_failure_is_not_written_among_the_rows(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert run_here(print_and_fail) == 1
    assert capsys.readouterr().out == "report\n"
