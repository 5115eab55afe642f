"""Instrumented passes over a loaded model: `look` measures, and gives readings without tensors."""

from gradcheck_cli.probe.look import look

__all__ = ["look"]
