"""Add the input of a layer to its output.

A skip path around each layer that keeps the shape.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.records import LayerReport
from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.snippets import chosen_weights, for_each

SQUARE = {
    "Linear": "module.in_features == module.out_features",
    "Conv2d": "module.in_channels == module.out_channels and set(module.stride) == {1} and module.padding != (0, 0)",
}
"""Class of layer → when its output has the shape of its input."""


def _fits(case: Case) -> bool:
    """Stacks of layers that may keep the shape."""
    return len(_stacked([case])) > 1


def _why(cases: Sequence[Case]) -> str:
    if _growing(cases):
        return (
            "Each branch starts at zero, so that the net begins as a shallow one whose signal passes unchanged, and "
            "depth comes in as the branches learn."
        )
    return "The gradient gets a path around each layer on which nothing shrinks it, however deep the net is."


def _how(cases: Sequence[Case]) -> str:
    """A wrapper, and its use on the layers that keep the shape."""
    layers = _stacked(cases)
    zero = "    nn.init.zeros_(module.weight)\n" if _growing(cases) else ""
    uses = [
        for_each(
            [layer for layer in layers if layer.kind == kind],
            cases[0].report,
            f"if {SQUARE[kind]}:\n{zero}    model.set_submodule({{name}}, Residual(module))",
        )
        for kind in dict.fromkeys(layer.kind for layer in layers)
    ]
    return "\n".join([_WRAPPER, *uses])


_WRAPPER = """\
class Residual(nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)
"""


def _stacked(cases: Sequence[Case]) -> list[LayerReport]:
    return [layer for layer in chosen_weights(cases) if layer.kind in SQUARE]


def _growing(cases: Sequence[Case]) -> bool:
    return any(case.code == "GC201" for case in cases)


REMEDY = RemedyUnit(
    id="residual-connection",
    title="Add residual (skip) connections",
    answers={"GC101": 4, "GC201": 4, "GC108": 2, "GC112": 2},
    cures=frozenset({"depth"}),
    source="He 2016, Deep residual learning; Zhang 2019, Fixup (zero-initialised branches)",
    fits=_fits,
    why=_why,
    how=_how,
)
