"""What a command needs: arguments, a log on stderr, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from typing import Callable, Iterator

import requests

from .config import REPORTS_URL, TOKEN_URL, SettingsError
from .errors import explain

END_POINT = "summary?from=-1days&to=now"
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
        default=[END_POINT, END_POINT],
        help=f'report, relative to REPORTS_URL (default: "{END_POINT}", '
        "twice to show that the token is reused)",
    )
    return list(parser.parse_args().END_POINT)


def run(main: Callable[[], None]) -> int:
    """Run a command and return its exit code, after one line on stderr if it failed.

    1 is a failure of the API, 2 of the settings, 130 is Ctrl-C. Any other exception is
    the program's own, and is left alone.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # Escape what a terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = 0
    with log_on_stderr(main.__module__):
        try:
            main()
        except SettingsError as error:
            print(error, file=sys.stderr)
            code = 2
        except requests.RequestException as error:
            print(explain(error), file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            code = 130
        except BrokenPipeError:
            # A reader such as head has seen enough.
            code = 1
    if reader_has_gone():
        code = max(code, 1)
    return code


@contextlib.contextmanager
def log_on_stderr(name: str) -> Iterator[None]:
    """Show the messages of a program and of this package on stderr, while it runs.

    Those of other packages are not shown, since they might hold a token.
    """
    handler = logging.StreamHandler()
    # A program that calls logging.basicConfig shows the messages itself.
    handler.addFilter(lambda record: not logging.getLogger().handlers)
    loggers = [logging.getLogger(name), logging.getLogger(__package__)]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def reader_has_gone() -> bool:
    """Flush stdout, and return whether a reader such as head has closed the pipe."""
    if sys.stdout is None or sys.stdout.closed:
        return False
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The flush at exit would fail too: see "Note on SIGPIPE" in Python's docs.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
