"""What any command asks: arguments, a log on stderr, one-line errors, exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import sys
from typing import Callable

from common.answers import ApiError
from common.config import REPORTS_URL, TOKEN_URL, SettingsError

END_POINT = "summary?from=-1days&to=now"

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
  python3 -m common.sandbox %(prog)s
"""


def arguments(description: str) -> argparse.Namespace:
    """Return `end_points` and `show_token` from the command line; end with 2 where they make no sense."""
    parser = argparse.ArgumentParser(
        description=description.partition("\n")[0],
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
        "--show-token", action="store_true", help="log the whole access token, not its first characters"
    )
    return parser.parse_args()


def _end_point(text: str) -> str:
    end_point = text.strip().lstrip("/")
    if not end_point or "://" in end_point.partition("?")[0] or not end_point.isprintable():
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form "{END_POINT}"')
    return end_point


def run(main: Callable[[], int], *errors: type[Exception]) -> int:
    """Call `main` and return the exit code: its own, or 1, 2 or 130 after one line on stderr.

    `errors`: exceptions of the script's library that end it as ApiError does.
    """
    for name in ("common", main.__module__):  # our own loggers only: those of the libraries may show a token
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).handlers = [logging.StreamHandler()]
    log = logging.getLogger(main.__module__)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no report
    sandbox = f"python3 -m common.sandbox {os.path.basename(sys.argv[0])}"
    try:
        return main()
    except SettingsError as error:
        log.error(
            "Settings: %s. Set or correct these environment variables, or try it without an account: %s", error, sandbox
        )
        return 2
    except ApiError as error:
        log.error(error)
        return 1
    except errors as error:
        log.error("%s The sandbox starts the script itself: %s", error, sandbox)
        return 1
    except KeyboardInterrupt:
        return 130
    except RecursionError:  # Python 3.12 decodes deeper nesting than it encodes
        log.error("Cannot write the report: it is nested too deeply")
        return 1
    except OSError as error:  # stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the exit does not stumble again
        if error.errno in (errno.EPIPE, errno.EINVAL):
            return 0  # the reader, such as head, has seen enough; Windows says EINVAL
        log.error("Cannot write the report: %s", error.strerror)
        return 1
