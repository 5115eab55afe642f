"""The layer is never used in forward."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar

from gradcheck_cli.readings import LayerReading
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View


class Unused:
    """The layer is part of the model, trainable, and never used in the forward pass; or it is used and not part of the model.

    What it measures. Which modules ran, and which parameters were read. Layers of which siblings of the same class in the same
    container ran (experts, stochastic depth), mask tokens that a module owns beside its layers, and all layers of a model whose
    forward takes optional inputs that the sample does not give, are not judged:
    another sample may reach them (note GC909). Where the siblings are a stack, each reading the one before, a layer that does
    not run in evaluation mode either is judged: no chance drops it there.

    Why it matters. An unused layer never learns, and distributed training stops at it. A module that was never registered (kept
    in a plain list, made in forward) is never seen by the optimiser.

    Remedy. Call it in forward or remove it; keep modules in nn.ModuleList and assign them in __init__.

    Source. PyTorch's notes on DistributedDataParallel (find_unused_parameters); the method's symptom 'cut paths'.

    Ill.

        class Heads(nn.Module):
            def __init__(self):
                super().__init__()
                self.digit, self.colour = nn.Linear(8, 10), nn.Linear(8, 3)
            def forward(self, x):
                return self.digit(x)
        model = Heads()
        # GC303 at colour

    Healthy.

        class Heads(nn.Module):
            def __init__(self):
                super().__init__()
                self.digit, self.colour = nn.Linear(8, 10), nn.Linear(8, 3)
            def forward(self, x):
                return self.digit(x), self.colour(x)
        model = Heads()
    """

    code: ClassVar[str] = "GC303"
    name: ClassVar[str] = "unused"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers that never ran and have no excuse, and modules that run unregistered."""
        if view.readings.unregistered:
            yield Hit(
                layer="<unregistered>",
                culprit=True,
                confidence=0.9,
                message=f"{view.readings.unregistered} parameters run but belong to no registered module",
                evidence={"cause": "cut", "operation": "unregistered"},
            )
        for layer in view.parametric:
            if unused(view, layer):
                yield Hit(
                    layer=layer.name,
                    culprit=True,
                    confidence=0.8,
                    message="is never used in the forward pass",
                    evidence={"cause": "cut", "operation": "unused"},
                )


def unused(view: View, layer: LayerReading) -> bool:
    """Never ran, none of its parameters was read, and nothing suggests that another sample would reach it."""
    ran = layer.called and not layer.container  # that a container ran says nothing of its own parameters
    trained = any(p.trainable for p in layer.parameters)
    if ran or layer.reached or not trained or any(p.reached for p in layer.parameters):
        return False
    token = layer.container and layer.kind != "Parameter" and not layer.weights
    return not token and not view.readings.inputs_left and not _sibling_ran(view, layer)


def _sibling_ran(view: View, layer: LayerReading) -> bool:
    """Another element of the same list of modules ran, ``experts.3.fc1`` beside ``experts.0.fc1``, and it may be a choice."""
    parts = layer.name.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            ran = [other.name for other in view.parametric if other.called and _same_place(other.name, parts, place)]
            if ran and not (layer.idle and _stacked(view, ran)):
                return True
    return False


def _same_place(name: str, parts: list[str], place: int) -> bool:
    theirs = name.split(".")
    same = theirs[:place] == parts[:place] and theirs[place + 1 :] == parts[place + 1 :]
    return same and len(theirs) == len(parts) and theirs[place].isdigit()


def _stacked(view: View, names: list[str]) -> bool:
    """Each reads, through others, the one before; two at least."""
    pairs = list(pairwise(names))
    return bool(pairs) and all(before in view.ancestors[after] for before, after in pairs)
