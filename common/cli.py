"""What every command needs: arguments, a log on stderr, one-line errors, exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
from typing import Callable

import requests

from common.config import REPORTS_URL, TOKEN_URL, SettingsError

END_POINT = "summary?from=-1days&to=now"

SANDBOX = f"{os.path.basename(sys.executable)} -m common.sandbox"

EPILOG = f"""\
environment variables:
  API_KEY      Secure Access API key (required)
  API_SECRET   Secure Access API secret (required)
  TOKEN_URL    token endpoint (default: {TOKEN_URL})
  REPORTS_URL  base of the Reporting API, for a region or the government cloud
               (default: {REPORTS_URL})
  ORG_ID       child organization of a multi-organization account

more end points:
  "top-destinations?from=-7days&to=now&limit=5&offset=0"
  "activity?from=-1days&to=now&limit=10&offset=0"

without an account:
  {SANDBOX} %(prog)s
"""


def arguments(description: str | None) -> argparse.Namespace:
    """Return `end_points` and `show_token` from the command line; exit with 2 if they are invalid."""
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0],  # python -OO drops it
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "end_points",
        metavar="END_POINT",
        nargs="*",
        type=_end_point,
        default=[END_POINT] * 2,
        help=f'what to report, relative to REPORTS_URL (default: "{END_POINT}" twice, to show reuse of the token)',
    )
    parser.add_argument(
        "--show-token", action="store_true", help="log the whole access token, not just its first characters"
    )
    return parser.parse_args()


def _end_point(text: str) -> str:
    end_point = text.strip()
    if not end_point.strip("/") or "://" in end_point.partition("?")[0] or not end_point.isprintable():
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form "{END_POINT}"')
    return end_point


def run(main: Callable[[], int], *plain_http_errors: type[Exception]) -> int:
    """Return the exit code of `main`; or 1 or 2 after one line on stderr, 130 for Ctrl-C, 0 if stdout has no reader.

    `plain_http_errors`: what the script's library raises where it refuses plain http.
    """
    log = _log_to_stderr(main.__module__)
    if sys.stdout is None:
        log.error("Cannot write the report: stdout is closed")
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # escape what the terminal cannot show
    sandbox = f"{SANDBOX} {os.path.basename(sys.argv[0])}"
    try:
        return main()
    except SettingsError as error:
        log.error("Settings: %s. Check the environment variables, or try it without an account: %s", error, sandbox)
        return 2
    except requests.RequestException as error:  # ApiError, or what requests says before it sends
        log.error(error)
        return 1
    except plain_http_errors:
        log.error("oauthlib refuses plain http. Use https, or let the sandbox start the script: %s", sandbox)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _closed_stdout(error, log)


def _log_to_stderr(name: str) -> logging.Logger:
    """Show what the logger of that name and `common` say; those of the libraries might show a token."""
    log = logging.getLogger(name)
    for logger in (logging.getLogger("common"), log):
        logger.setLevel(logging.INFO)
        logger.handlers = [logging.StreamHandler()]
    return log


def _closed_stdout(error: OSError, log: logging.Logger) -> int:
    """Return the exit code where a report cannot be written: 0 if the reader, such as head, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit does not fail too
    if error.errno in (errno.EPIPE, errno.EINVAL):  # Windows says EINVAL
        return 0
    log.error("Cannot write the report: %s", error.strerror)
    return 1
