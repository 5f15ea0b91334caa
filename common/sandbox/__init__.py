"""A local token and reports server, to try the samples and to test programs without an account."""

from .server import SCENARIOS, Sandbox

__all__ = ["SCENARIOS", "Sandbox"]
