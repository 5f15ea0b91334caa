"""What a command needs: arguments, a log on stderr, exit codes."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from typing import Callable

import requests

from .config import REPORTS_URL, TOKEN_URL, SettingsError
from .errors import explain

SUMMARY = "summary?from=-1days&to=now"
EPILOG = f"""\
environment variables:
  API_KEY      Secure Access API key (required)
  API_SECRET   Secure Access API secret (required)
  TOKEN_URL    default: {TOKEN_URL}
  REPORTS_URL  default: {REPORTS_URL}
  ORG_ID       child organization of a multi-organization account

README.md has more end points, and a quick start without an account.
"""


def end_points(description: str | None) -> list[str]:
    """Return the end points that the command line names."""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "END_POINT",
        nargs="*",
        default=[SUMMARY, SUMMARY],
        help=f'report, relative to REPORTS_URL (default: "{SUMMARY}", '
        "twice to show that the token is reused)",
    )
    return list(parser.parse_args().END_POINT)


def run(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit code, after one line on stderr if it failed.

    The exit code is what `main` returns; 1 after a failure of the API or a closed pipe,
    2 after wrong settings, 130 after Ctrl-C. Any other exception is the program's own.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # Escape what a terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    show_log(main.__module__)
    code = exit_code_of(main)
    if not flush_stdout() and code == 0:
        return 1
    return code


def exit_code_of(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except requests.RequestException as error:
        print(explain(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # A reader such as head has seen enough.
        return 1
    except OSError:
        # On Windows, that is an invalid argument. Anything else is the program's own.
        if flush_stdout():
            raise
        return 1


def show_log(name: str) -> None:
    """Show the messages of a program and of this package on stderr.

    A program that has set up logging, as by logging.basicConfig, is left alone.
    """
    if logging.getLogger().handlers:
        return
    logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger(__package__).setLevel(logging.INFO)
    # This handler takes the messages that no other handler takes.
    logging.lastResort.setLevel(logging.INFO)  # type: ignore[union-attr]


def flush_stdout() -> bool:
    """Flush stdout; return False if its reader has closed the pipe."""
    if sys.stdout is None or sys.stdout.closed:
        return True
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):
            raise
        # The flush at exit would fail too: see "Note on SIGPIPE" in Python's docs.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
