"""What a remedy is, and the case that it is asked about. One remedy, one file; `registry` joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gradcheck_cli.records import Finding, LayerReport
from gradcheck_cli.remedies.kinds import activation_word

_NAMESPACES = frozenset({"torch", "ops", "aten", "nn", "functional", "f", "tensor", "_tensor"})


@dataclass(frozen=True)
class Case:
    """A finding on a culprit, and which layers a remedy would have to change. Evidence that is absent is unknown."""

    finding: Finding
    report: tuple[LayerReport, ...]
    """All layers of the model, in forward order."""
    weights: tuple[LayerReport, ...]
    """Layers with weights to change: the finding's own or the one in front of it; if it is about depth, all alike."""
    activations: tuple[LayerReport, ...]
    """Activations to change, likewise: the finding's own or the one behind it."""
    first: bool
    """The layer is the first one with weights, or the activation behind that."""
    last: bool
    """No layer with weights and no activation comes after it."""

    @property
    def code(self) -> str:
        """The finding's code."""
        return self.finding.code

    @property
    def layer(self) -> str:
        """The culprit's name."""
        return self.finding.layer

    @property
    def cause(self) -> str:
        """Slug of what brought it about, ``weight-scale`` for example; empty where the rule could not tell."""
        return self.fact("cause")

    @property
    def activation(self) -> str:
        """Name of the activation in lower case, ``leakyrelu`` for example; empty where it is not known."""
        return activation_word(self.fact("activation") or (self.activations[0].kind if self.activations else ""))

    @property
    def operation(self) -> str:
        """Bare name of the operation at fault: ``torch.argmax`` and ``aten::argmax.default`` are ``argmax``."""
        name = self.fact("operation").lower().rsplit("::", 1)[-1].removesuffix("()")
        parts = [part for part in name.split(".") if part and part not in _NAMESPACES]
        return parts[0].removesuffix("_") if parts else ""

    def fact(self, key: str) -> str:
        """A word of the finding's evidence; empty where there is none."""
        value = self.finding.evidence.get(key, "")
        return value if isinstance(value, str) else ""


def anywhere(case: Case) -> bool:  # noqa: ARG001  # one of many `fits`
    """Fits every case."""
    return True


@dataclass(frozen=True, kw_only=True)
class RemedyUnit:
    """One remedy. Its code takes ``torch``, ``nn``, ``F``, ``model`` as given; ``optimizer``, ``loss``, ``x`` too."""

    id: str
    """Stable, lower case with hyphens."""
    title: str
    """What to do, in a few words."""
    answers: Mapping[str, int]
    """Codes that it answers → its place among the remedies of that code, 1 the best."""
    cures: frozenset[str] = frozenset()
    """Causes that it removes; where a finding names one of them, it comes before what only eases the symptom."""
    source: str
    fits: Callable[[Case], bool] = anywhere
    """Whether it can help this layer at all."""
    why: str | Callable[[Sequence[Case]], str]
    """One or two sentences."""
    how: str | Callable[[Sequence[Case]], str]
    """Python code that names the layers of all cases (at least one; each fits)."""
