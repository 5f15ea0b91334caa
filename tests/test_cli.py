"""The command line: arguments, exit codes, the log, and what becomes of stdout."""

import errno
import io
import json
import logging
import os
import sys
from contextlib import contextmanager, redirect_stdout
from unittest.mock import Mock, patch

import pytest
import requests
from helpers import REPORT, ROOT, run

from common import cli
from common.config import REPORTS_URL

log = logging.getLogger(__name__)
PROGRAM = """
import logging.config
import requests
from common.cli import run

def main():
    {}

raise SystemExit(run(main))
"""


def run_here(main):
    # With the handlers of pytest, a command would leave the log to them.
    with patch.object(logging.getLogger(), "handlers", []):
        return cli.run(main)


@pytest.fixture
def run_program(tmp_path, monkeypatch):
    """Return a function that runs a program in a process of its own."""

    def run_with(*lines, **options):
        file = tmp_path / "program.py"
        file.write_text(PROGRAM.format("\n    ".join(lines)))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        return run(file, **options)

    return run_with


@contextmanager
def stdout_as_pipe():
    """Make stdout a pipe, and return the end that is read."""
    read, write = os.pipe()
    reader = os.fdopen(read)
    with reader, os.fdopen(write, "w") as stdout, redirect_stdout(stdout):
        yield reader


@contextmanager
def stdout_without_reader():
    with stdout_as_pipe() as reader:
        reader.close()
        yield


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


def test_a_failure_of_the_settings(sample):
    done = run(sample.script)
    assert done.code == 2
    assert done.out == ""
    assert done.failure.startswith("Settings: API_KEY is not set")
    assert "; API_SECRET is not set" in done.failure


# A program's own exceptions


def test_a_missing_file_ends_in_a_traceback_and_no_row_is_lost(run_program, tmp_path):
    rows = tmp_path / "rows"
    with rows.open("w") as stdout:
        done = run_program(
            "for row in range(26): print(row)", "open('missing.csv')", stdout=stdout
        )
    assert done.code == 1
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "FileNotFoundError: " in done.err
    assert rows.read_text().split()[-1] == "25"


def test_a_missing_file_ends_in_a_traceback_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with pytest.raises(FileNotFoundError):
        run_here(lambda: os.stat("missing.csv"))


# Output


def test_what_is_printed_after_a_failure_is_not_lost():
    with stdout_as_pipe() as reader:
        run_here(print_and_fail)
        print("and more")
        sys.stdout.close()
        assert reader.read() == "report\nand more\n"


def test_a_reader_that_has_gone_before_a_failure(capsys):
    with stdout_without_reader():
        assert run_here(print_and_fail) == 1
    assert "ConnectionError (no route)" in capsys.readouterr().err


def test_a_reader_that_has_gone_on_windows():
    def main():
        print("report")
        raise OSError(errno.EINVAL, "Invalid argument")

    with stdout_without_reader():
        assert run_here(main) == 1


def test_a_full_disk_is_no_reader_that_has_gone(monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    stdout = Mock(closed=False, flush=Mock(side_effect=full))
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(OSError, match="No space left"):
        run_here(lambda: None)


@pytest.mark.skipif(sys.platform == "win32", reason="no BrokenPipeError there")
def test_a_reader_that_has_seen_enough_of_a_long_report(capsys):
    with stdout_without_reader():
        assert run_here(lambda: print("report " * 10000)) == 1
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_gone_before_the_end(capsys):
    with stdout_without_reader():
        assert run_here(lambda: print("report")) == 1
    assert capsys.readouterr().err == ""


def test_no_stdout_at_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert run_here(lambda: print("report")) == 0
    assert run_here(print_and_fail) == 1


def test_a_program_may_close_stdout():
    def main():
        with sys.stdout as out:
            out.write("report")

    with stdout_as_pipe() as reader:
        assert run_here(main) == 0
        assert reader.read() == "report"


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch):
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, "ascii"))
    assert run_here(lambda: print("Zürich", end="")) == 0
    assert terminal.getvalue() == b"Z\\xfcrich"


@pytest.mark.usefixtures("credentials")
def test_a_report_is_printed_before_the_next_request(sample, api, monkeypatch):
    pipe = io.BytesIO()
    printed = []

    def respond(request):
        printed.append(pipe.getvalue() != b"")
        return 200, {}, json.dumps(REPORT)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe))
    api.mock.add_callback("GET", f"{REPORTS_URL}/report", respond)
    assert sample.main("report", "report") == 0
    assert printed == [False, True]


# The log


def test_messages_of_a_program_and_of_this_package_alone_are_shown_once(capsys):
    def main():
        log.info("mine")
        logging.getLogger("common.session").info("yours")
        logging.getLogger("urllib3.connectionpool").warning("token")

    run_here(main)
    assert capsys.readouterr().err == "mine\nyours\n"


def test_after_basic_config_a_message_is_shown_once(capsys):
    def main():
        logging.basicConfig()
        log.info("started")

    run_here(main)
    assert capsys.readouterr().err == "INFO:test_cli:started\n"


def test_a_level_is_left_alone_once_logging_is_set_up(monkeypatch):
    monkeypatch.setattr(log, "level", logging.ERROR)
    # With the handlers of pytest, as with those of basicConfig.
    cli.run(lambda: None)
    assert log.level == logging.ERROR


def test_a_program_with_a_log_of_its_own_is_left_alone(monkeypatch, capsys, caplog):
    monkeypatch.setattr(log, "handlers", [caplog.handler])
    run_here(lambda: log.info("started"))
    assert caplog.messages == ["started"]
    assert capsys.readouterr().err == ""


def test_a_failure_is_shown_even_if_the_log_is_configured_away(run_program):
    done = run_program(
        "logging.config.dictConfig({'version': 1})", "raise requests.Timeout('slow')"
    )
    assert done.failure.startswith("Could not get a token or a report: Timeout (slow)")
