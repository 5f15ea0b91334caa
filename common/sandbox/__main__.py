"""A local token and reports server, to try the samples without an account."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
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
    try:
        sandbox = Sandbox(options.scenario, options.port)
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing: install it as package data")
    except (OSError, OverflowError) as error:
        parser.error(f"cannot serve on port {options.port} ({error})")
    sandbox.show_requests = options.show_requests

    command = options.command
    if command[:1] == ["--"]:
        del command[0]
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

    variables = {**os.environ, **environment}
    try:
        process = subprocess.Popen([program, *command[1:]], env=variables)
    except OSError as error:
        print(f"cannot execute {program}: {error.strerror}", file=sys.stderr)
        return 126

    def pass_on(number: int, frame: object) -> None:
        """End the command by the same signal, or by force if that takes too long."""
        process.send_signal(number)
        timer = threading.Timer(5, process.kill)
        timer.daemon = True
        timer.start()

    # Windows has no SIGHUP.
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        signal.signal(number, pass_on)
    # Ctrl-C reaches the command as well, which may take its time to end.
    signal.signal(signal.SIGINT, lambda *_: None)
    code = process.wait()
    if code < 0:
        # The negative number of the signal that ended it.
        return 128 - code
    return code


def serve(environment: dict[str, str]) -> None:
    """Print the environment for another terminal, and wait for Ctrl-C."""
    for name, value in environment.items():
        line = f"export {name}={value}"
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
