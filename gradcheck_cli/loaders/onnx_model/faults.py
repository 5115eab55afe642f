"""The one exception of the checks of an ONNX graph."""

from __future__ import annotations


class GraphFault(Exception):
    """What is wrong with the graph: one clause."""
