"""A local token and reports server, to try the samples without an account.

It answers as the Secure Access API does, with made-up numbers. It runs programs of your own as well, and `Sandbox` is
for their tests.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import subprocess
import sys
import time

from common.cli import SANDBOX
from common.sandbox_reports import REPORTS
from common.sandbox_server import SCENARIOS, Sandbox

__all__ = ["REPORTS", "SCENARIOS", "Sandbox"]


def main() -> int:
    """Run one program and return its exit code, or serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog=SANDBOX,
        description=(__doc__ or "").partition("\n")[0],
        epilog="scenarios:\n" + "\n".join(f"  {name:<11}{text}" for name, text in SCENARIOS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", metavar="NAME", choices=SCENARIOS, default="normal", help="one of those below")
    parser.add_argument("--port", metavar="N", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--show-requests", action="store_true", help="tell on stderr what the server sees and answers")
    parser.add_argument(
        "script",
        metavar="SCRIPT",
        nargs="?",
        help="sample to run, or any program that reads the same variables; without it, serve until Ctrl-C",
    )
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments of the script")
    options = parser.parse_args()
    if options.script and not os.path.isfile(options.script):
        parser.error(f"there is no script {options.script}")
    if options.show_requests:
        logging.getLogger("sandbox").addHandler(logging.StreamHandler())
        logging.getLogger("sandbox").setLevel(logging.INFO)
    try:
        sandbox = Sandbox(options.scenario, options.port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot serve on port {options.port} ({error}): choose another --port, or none for a free one")
    # SIGTERM becomes an exception, upon which subprocess.call ends the script.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with sandbox:
        try:
            return run(sandbox, [options.script, *options.args]) if options.script else serve(sandbox)
        except KeyboardInterrupt:
            return 130 if options.script else 0


def run(sandbox: Sandbox, command: list[str]) -> int:
    """Run a script with the sandbox's variables, for that process alone; return the exit code as a shell does."""
    # oauthlib's clients refuse plain http without OAUTHLIB_INSECURE_TRANSPORT.
    variables = {**sandbox.environment(), "ORG_ID": "", "OAUTHLIB_INSECURE_TRANSPORT": "1"}
    code = subprocess.call([sys.executable, *command], env={**os.environ, **variables})
    return code if code >= 0 else 128 - code  # negative: the number of the signal that ended it


def serve(sandbox: Sandbox) -> int:
    """Print the variables as the shell takes them, and wait."""
    for name, value in sandbox.environment().items():
        if os.name == "nt":
            print(f"$env:{name} = '{value}'")
        else:
            print(f"export {name}={shlex.quote(value)}")
    print("# Paste the lines above into another terminal. The sandbox serves until Ctrl-C.")
    print("# oauthlib refuses plain http, so the sandbox has to start that sample itself; type instead:")
    print(f"#   {SANDBOX} oauthlib_api_sample_client.py", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    raise SystemExit(main())
