"""What a command needs: arguments, a log on stderr, exit codes."""

from __future__ import annotations

import argparse
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
    arguments = parser.parse_args()
    if hasattr(sys.stdout, "reconfigure"):
        # The script prints reports: escape what a terminal cannot show of them.
        sys.stdout.reconfigure(errors="backslashreplace")
    return list(arguments.END_POINT)


def run(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit code, after one line on stderr if it failed.

    The exit code is what `main` returns; 1 after a failure of the API or a closed pipe,
    2 after wrong settings, 130 after Ctrl-C. Any other exception is the program's own.
    The log and that line go to stderr, unless the program has set up logging before.
    """
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        # urllib3 warns of broken responses, which end in an exception anyway.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        code = main() or 0
    except SettingsError as error:
        logging.error(error)
        code = 2
    except requests.RequestException as error:
        logging.error(explain(error))
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 1
    return flush_stdout() or code


def flush_stdout() -> int:
    """Flush stdout; return 1 if its reader, such as head, has gone."""
    # It may be None, or an object that can only be written.
    if getattr(sys.stdout, "closed", True):
        return 0
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The flush at exit would fail too: see "Note on SIGPIPE" in Python's docs.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
