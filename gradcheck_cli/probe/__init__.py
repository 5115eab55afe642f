"""Instrumented passes over a loaded model: `look` measures, and gives readings without tensors."""

from gradcheck_cli.probe.exactness import settle_zeros
from gradcheck_cli.probe.look import look
from gradcheck_cli.probe.precision import what_if

__all__ = ["look", "settle_zeros", "what_if"]
