"""Where over depth a signal is lost or blown up: follow it from the ill layer to the output and see who changes it.

Shared by the rules of decay and of growth; logarithms make the two mirror images of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from gradcheck_cli.readings import LayerReading, Role
from gradcheck_cli.rules.view import SMALL, View

STRONG = 30.0
"""A gain that no usual layer has, up or down."""

_SMALLEST = 1e-45
"""Stands for a transmission that has underflowed to 0: the smallest float32 number."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage (a layer with parameters and its activations) does to the signal on the way."""

    layer: str
    change: float
    """ln of the factor by which the gradient's norm changes, backward: negative where it is weakened."""
    by_activations: float
    """The part of `change` that its activations make."""
    activation: str = ""
    """Kind of the activation that changes most."""

    @property
    def factor(self) -> float:
        """exp(change)."""
        return math.exp(max(-690.0, min(690.0, self.change)))


class Descent(msgspec.Struct, frozen=True, kw_only=True):
    """How the signal changes between the output and one layer."""

    shares: tuple[Share, ...]
    """Forward order."""
    total: float
    """Σ change: ln T at the layer, as far as layers explain it."""


def descend(view: View, layer: LayerReading, sign: int) -> Descent:
    """Follow the loudest path from `layer` to the output; `sign` −1 for decay, +1 for growth."""
    shares: dict[str, list[float]] = {}
    kinds: dict[str, tuple[float, str]] = {}
    current: LayerReading | None = layer
    visited = set()
    while current is not None and current.name not in visited:
        visited.add(current.name)
        following = _loudest(view, current)
        if following is None:
            break
        change = _change(view, current, following)
        entry = shares.setdefault(view.stage(following), [0.0, 0.0])
        entry[0] += change
        if following.role is Role.ACTIVATION:
            entry[1] += change
            kinds[view.stage(following)] = max(
                kinds.get(view.stage(following), (0.0, "")), (sign * change, following.kind)
            )
        current = following
    found = tuple(
        Share(layer=name, change=change, by_activations=part, activation=kinds.get(name, (0.0, ""))[1])
        for name, (change, part) in shares.items()
    )
    return Descent(shares=found, total=sum(share.change for share in found))


def _loudest(view: View, layer: LayerReading) -> LayerReading | None:
    readers = [view.layers[name] for name in view.downstream[layer.name]]
    reached = [reader for reader in readers if reader.transmission is not None]
    return max(reached, key=lambda reader: reader.transmission or 0.0, default=None)


def _change(view: View, layer: LayerReading, following: LayerReading) -> float:
    """ln of the factor that the following layer makes; from its own gain, else from the two transmissions.

    Of an operation that reads nothing but the layer, and is all that reads it, the transmissions say more: paths inside may
    cancel. In front of a layer with weights they would hold what lies between as well, a mean over positions for one.
    """
    gain = following.gain
    only = following.upstream == (layer.name,) and view.downstream[layer.name] == [following.name]
    only = only and following.role is not Role.PARAMETRIC
    if gain is None or gain <= 0.0 or only:
        gain = max(layer.transmission or 0.0, _SMALLEST) / max(following.transmission or 0.0, _SMALLEST)
    return math.log(gain) if gain > 0.0 and math.isfinite(gain) else 0.0


def culprits(view: View, descent: Descent, sign: int) -> list[Share]:
    """The stages that make most of the change by themselves, largest first; empty where all share it."""
    changes = [sign * share.change for share in descent.shares]
    total = sum(change for change in changes if change > 0)
    usual = sorted(changes)[len(changes) // 4] if changes else 0.0  # low, so that two outliers in four do not hide
    least = max(math.log(view.thresholds.outlier), 3.0 * usual)
    found = [share for share in descent.shares if sign * share.change >= least]
    explained = sum(sign * share.change for share in found)
    if total <= 0 or explained < view.thresholds.outlier_share * total:
        return []
    return sorted(found, key=lambda share: -sign * share.change)


def rate(descent: Descent) -> float:
    """Geometric mean of the factor per stage."""
    return math.exp(descent.total / len(descent.shares)) if descent.shares else 1.0


def cause(share: Share) -> str:
    """``activation-slope`` where the activations make most of a stage's change, else ``weight-scale``."""
    return "activation-slope" if abs(share.by_activations) > 0.5 * abs(share.change) else "weight-scale"


def loudest_cause(descent: Descent, sign: int) -> tuple[str, str]:
    """(cause, activation kind) of a change that all stages share."""
    by_activations = sum(sign * share.by_activations for share in descent.shares)
    total = sum(sign * share.change for share in descent.shares)
    kinds = [share.activation for share in descent.shares if share.activation]
    kind = max(set(kinds), key=kinds.count) if kinds else ""
    return ("activation-slope" if by_activations > 0.5 * total else "weight-scale"), kind


class Ailment(msgspec.Struct, frozen=True, kw_only=True):
    """Layers at which the signal has faded, or grown, over depth, and who did it."""

    layers: tuple[str, ...]
    """Ill layers, forward order."""
    culprits: tuple[Share, ...]
    """Stages that did it by themselves, worst first; empty where all stages share it."""
    start: str
    """The ill layer nearest the output."""
    descent: Descent
    """From the ill layer nearest the input."""


def fading(view: View) -> tuple[Ailment, ...]:
    """Layers on the trunk that the output's question reaches too faintly, grouped by where their path begins."""
    limits = view.thresholds
    low = {
        layer.name
        for layer in view.readings.layers
        if _judged(view, layer) and view.heard[layer.name] and view.faint(layer) < limits.bottleneck
    }
    trunk = {name for name in low if all(a in low or not _heard(view, a) for a in view.ancestors[name])}
    branches = {name for name in low if view.faint(view.layers[name]) < limits.branch and not _scores(view, name)}
    return _ailments(view, trunk | branches, -1, lambda layer: view.faint(layer) < limits.vanishing)


def _scores(view: View, name: str) -> bool:
    """It feeds the scores of an attention: queries and keys begin as two small factors, and grow together."""
    return any(view.layers[reader].kind in ("Softmax", "Attention") for reader in view.downstream[name])


def growing(view: View) -> tuple[Ailment, ...]:
    """Layers at which the signal has grown out of range."""
    limits = view.thresholds
    high = {layer.name for layer in view.readings.layers if _judged(view, layer) and view.loud(layer) > limits.burst}
    return _ailments(view, high, +1, lambda layer: view.loud(layer) > limits.exploding)


def _judged(view: View, layer: LayerReading) -> bool:
    frozen = bool(layer.parameters) and not layer.trainable
    return view.finite and layer.reached and not frozen and not view.gated(layer)


def _heard(view: View, name: str) -> bool:
    return view.layers[name].transmission is not None


def _ailments(view: View, candidates: set[str], sign: int, ill: Callable[[LayerReading], bool]) -> tuple[Ailment, ...]:
    found = []
    for source in (name for name in view.layers if name in candidates and not view.ancestors[name] & candidates):
        if sign > 0 and _undone(view, view.layers[source]):
            continue
        family = [name for name in view.layers if name == source or name in candidates & view.descendants[source]]
        descent = descend(view, view.layers[source], sign)
        outliers = culprits(view, descent, sign)
        abrupt = [share for share in outliers if sign * share.change > math.log(view.thresholds.abrupt)]
        layers = [name for name in family if ill(view.layers[name]) or _behind(view, name, abrupt)]
        if layers:
            found.append(
                Ailment(layers=tuple(layers), culprits=tuple(outliers), start=_start(view, layers), descent=descent)
            )
    return tuple(found)


def _undone(view: View, layer: LayerReading) -> bool:
    """Its values are small because of a tiny layer in front, or itself: a hump between two scales that cancel."""
    if view.sizes[layer.name] > SMALL:
        return False
    sources = [view.layers[name] for name in (layer.name, *view.ancestors[layer.name])]
    return any(source.gain is not None and source.gain < 1 / STRONG for source in sources)


def _behind(view: View, name: str, shares: list[Share]) -> bool:
    return any(share.layer in view.descendants[name] for share in shares)


def _start(view: View, layers: list[str]) -> str:
    """The last of them that owns parameters, where one does."""
    owners = [name for name in layers if view.layers[name].role is Role.PARAMETRIC]
    return (owners or layers)[-1]
