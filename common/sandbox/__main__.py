"""A local token and reports server, to try the samples without an account."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress

from . import SCENARIOS, Sandbox


def main() -> int:
    prog, raw = f"python3 -m {__package__}", argparse.RawDescriptionHelpFormatter
    epilog = "scenarios:\n" + "\n".join(f"  {name:<11}{text}" for name, text in SCENARIOS.items())
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, epilog=epilog, formatter_class=raw)
    parser.add_argument("--scenario", metavar="NAME", choices=SCENARIOS, default="normal", help="one of those below")
    parser.add_argument("--port", metavar="N", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--show-requests", action="store_true", help="show each request and its outcome on stderr")
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="program to run; without it, serve until Ctrl-C")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments of the script")
    options = parser.parse_args()
    if options.show_requests:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        sandbox = Sandbox(options.scenario, options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot serve on port {options.port} ({error})")
    # As an exception, SIGTERM stops the server, and subprocess.call ends the script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with sandbox, suppress(KeyboardInterrupt):
        if options.script:
            environment = {**os.environ, **sandbox.environment()}
            code = subprocess.call([sys.executable, options.script, *options.args], env=environment)
            return code if code >= 0 else 128 - code  # negative: the number of the signal that ended it
        for name, value in sandbox.environment().items():
            print(f"$env:{name} = '{value}'" if os.name == "nt" else f"export {name}={shlex.quote(value)}")
        print("# Paste these lines into another terminal, and run scripts there. Ctrl-C ends the sandbox.", flush=True)
        time.sleep(1_000_000)
    return 130 if options.script else 0


raise SystemExit(main())
