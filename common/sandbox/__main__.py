"""A local token and reports server, to try the samples without an account."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

from . import SCENARIOS, Sandbox


def build_parser() -> argparse.ArgumentParser:
    scenarios = [f"  {name:<11}{text}" for name, text in SCENARIOS.items()]
    parser = argparse.ArgumentParser(
        prog=f"python3 -m {__package__}",
        description=__doc__,
        epilog="scenarios:\n" + "\n".join(scenarios),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scenario",
        metavar="NAME",
        choices=SCENARIOS,
        default="normal",
        help="one of those below",
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=int,
        default=0,
        help="port on 127.0.0.1 (default: a free one)",
    )
    parser.add_argument(
        "--show-requests",
        action="store_true",
        help="show each request and its outcome on stderr",
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        help="what to run, and its arguments; without it, serve until Ctrl-C",
    )
    return parser


def main() -> int:
    parser = build_parser()
    options = parser.parse_args()
    if options.show_requests:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        sandbox = Sandbox(options.scenario, options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot serve on port {options.port} ({error})")

    command = options.command
    if command[:1] == ["--"]:
        del command[0]
    # As an exception, the signal stops the server, and subprocess ends the command.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with sandbox, suppress(KeyboardInterrupt):
        if command:
            return run(command, sandbox.environment())
        serve(sandbox.environment())
    return 0


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command in the sandbox's environment, and return its exit code."""
    if command[0].endswith(".py"):
        command = [sys.executable, *command]
    # Without shutil.which, Windows would find commands that end in .exe only.
    program = shutil.which(command[0])
    if program is None:
        print(f"there is no command {command[0]!r}", file=sys.stderr)
        return 127

    # Ctrl-C reaches the command as well, which may take its time to end.
    signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.call([program, *command[1:]], env={**os.environ, **environment})
    if code < 0:
        # The negative number of the signal that ended it.
        return 128 - code
    return code


def serve(environment: dict[str, str]) -> None:
    """Print the environment for another terminal, and wait for Ctrl-C."""
    for name, value in environment.items():
        line = f"export {name}={shlex.quote(value)}"
        if os.name == "nt":
            # For PowerShell.
            line = f"$env:{name} = '{value}'"
        print(line)
    print(
        "# Paste these lines into another terminal. Ctrl-C ends the sandbox.",
        flush=True,
    )
    time.sleep(1_000_000)


if __name__ == "__main__":
    raise SystemExit(main())
