"""A local token and reports server, to try the samples without an account.

Programs can be tested with it too; `Sandbox` says how.
"""

from .server import SCENARIOS, Sandbox

__all__ = ["SCENARIOS", "Sandbox"]
