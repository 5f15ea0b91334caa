"""What a command needs: arguments, a log on stderr, exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import re
import sys
from typing import Callable

from requests import RequestException

from .api import one_line
from .config import REPORTS_URL, TOKEN_URL, SettingsError

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
    """Return the end points of the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, epilog=EPILOG, formatter_class=raw)
    text = f'report, relative to REPORTS_URL (default: "{END_POINT}", twice to show that the token is reused)'
    parser.add_argument("end_points", metavar="END_POINT", nargs="*", help=text)
    return parser.parse_args().end_points or [END_POINT] * 2


class OneLine(logging.Formatter):
    """Makes each message fit for a terminal, and hides the secret and whole tokens."""

    def format(self, record: logging.LogRecord) -> str:
        line = one_line(super().format(record))
        secret = os.environ.get("API_SECRET", "").strip()
        return re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", "...", line.replace(secret, "...") if secret else line)


def run(main: Callable[[], None]) -> int:
    """Return the exit code of a command: 0, 1 and 2 after one line on stderr, or 130 for Ctrl-C."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    log = logging.getLogger(main.__module__)
    for logger in (log, logging.getLogger(__package__)):  # those of the libraries might show a token
        logger.setLevel(logging.INFO)
        logger.handlers = [handler]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # escape what the terminal cannot show
    try:
        main()
        print(end="", flush=True)
        return 0
    except RequestException as error:  # ApiError is one
        log.error(error)
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:  # stdout cannot be written to, or a file cannot be read
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the flush at exit would fail too
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # a reader such as head has seen enough; EINVAL on Windows
            log.error(error)
        return 1
