"""The gradient of a weight matrix is exactly zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import LayerReading, ParameterReading
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import listing


class ZeroGradient:
    """The layer is on a path to the output, and yet the gradient of its weight matrix is exactly zero.

    What it measures. ∂(v·out)/∂W for several independent random questions v; a zero counts only if all of them give it. A
    tiny gradient that falls with the precision, in float64, is a zero that rounding blurs. Zeros
    behind a gate that opens by itself (zero-initialised branch or head, LoRA's B, LayerScale), rows that no token touched, and
    zeros that are float32 underflow are told apart.

    Why it matters. The weights cannot move: two zero factors in series (all-zero initialisation, LoRA with A = B = 0), a rounding
    step, or a dead layer behind or in front.

    Remedy. Initialise at most one of two factors with zero; a straight-through estimator for rounding.

    Source. The method's symptom 'cut paths'; Hu et al. 2021 (LoRA) for why exactly one factor is zero.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        for linear in (model[0], model[2]):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        # GC304 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
        for linear in (model[2],):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
    """

    code: ClassVar[str] = "GC304"
    name: ClassVar[str] = "zero-gradient"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit layers all of whose matrices have a zero gradient; behind or in front of dead units they are victims."""
        if not view.finite:
            return
        stops: dict[str, int] = {}
        for layer in view.readings.layers:
            if not _silent(view, layer) or layer.name in view.recovered:
                continue
            weights = [w for w in layer.parameters if w.trainable and w.reached and (w.structural or not w.signal)]
            guilty = view.blockers.get(layer.name) or dead_in_front(view, layer) or silent_in_front(view, layer)
            stopped = layer.transmission == 0.0 and not guilty
            if stopped:
                guilty = _answerable(view, first_stop(view, layer))
                stops.update({name: stops.get(name, 0) + 1 for name in guilty})
            if layer.name in guilty:
                guilty = ()
            because = f", because of {listing(list(guilty))}" if guilty else ""
            zero = [w.name for w in weights if not w.norm]
            yield Hit(
                layer=layer.name,
                culprit=not guilty,
                because_of=tuple(guilty),
                message=f"the gradient of {listing([w.name for w in weights]) or 'its output'} is exactly zero{because}",
                evidence={
                    "parameters": [w.name for w in weights],
                    "zero_weights": zero,
                    "cause": "cut",
                    "operation": "zero",
                },
            )
        for name, count in stops.items():
            yield Hit(
                layer=name,
                culprit=True,
                message=f"lets nothing through: the gradient at its input is exactly zero, and {count} layers in front of it "
                "get none",
                evidence={"operation": view.layers[name].kind.lower(), "victims": count, "cause": "cut"},
            )


def _silent(view: View, layer: LayerReading) -> bool:
    """Nothing arrives: at its output, or at any of its matrices; and no gate, frozen weight or underflow explains it."""
    if layer.transmission is None or view.gated(layer) or (layer.parameters and not layer.trainable):
        return False
    if layer.transmission == 0.0:
        return (
            not view.heard[layer.name]
            and not _over_one_position(view, layer)
            and not any(_opens(w) for w in layer.parameters)
        )
    weights = [w for w in layer.weights if w.reached and w.signal is not None]
    silent = bool(weights) and not any((w.signal and not w.structural) or _opens(w) for w in weights)
    return silent and not fed_nothing(view, layer)


def fed_nothing(view: View, layer: LayerReading) -> bool:
    """It is heard, and the sample gives it nothing to learn from: no row of a table but padding, or an input of zeros.

    It must be one of several that read the sample: where the only one gets nothing, nothing can be learned.
    """
    if not layer.transmission or layer.upstream or any(w.signal for w in layer.weights):
        return False
    others = (other for other in view.parametric if not other.upstream and other.name != layer.name)
    return any(weight.signal for other in others for weight in other.weights)


def _over_one_position(view: View, layer: LayerReading) -> bool:
    """It feeds a softmax over a single entry, which is 1 whatever it gets: a matter of this sample's length.

    Over a single unit it is the model's; the probe then reads that unit.
    """
    readers = [view.layers[name] for name in view.descendants[layer.name]]
    return any(reader.kind in ("Softmax", "Attention") and reader.units is None for reader in readers)


def _opens(weight: ParameterReading) -> bool:
    return weight.opened_signal is not None and weight.opened_signal > 0.0


def dead_in_front(view: View, layer: LayerReading) -> tuple[str, ...]:
    """Stages in front whose units are all dead, where they are all that the layer sees."""
    if layer.name not in view.behind_constant:
        return ()
    walls = [name for name, share in view.silent_units.items() if share == 1.0 and name in view.ancestors[layer.name]]
    return tuple(dict.fromkeys(view.stage(view.layers[name]) for name in walls))


def silent_in_front(view: View, layer: LayerReading) -> tuple[str, ...]:
    """Where a layer hears the output and its weights still get exactly nothing, its input is zero: who hands it zeros?"""
    if not layer.transmission:
        return ()
    sources = [view.layers[name] for name in layer.upstream]
    mute = [s for s in sources if (s.transmission == 0.0 and not view.heard[s.name]) or s.incoming == 0.0]
    return tuple(dict.fromkeys(view.stage(source) for source in mute))


def _answerable(view: View, names: tuple[str, ...]) -> tuple[str, ...]:
    """In place of those whose input is constant because of dead units in front of them, the dead ones."""
    found = (dead_in_front(view, view.layers[name]) or (name,) for name in names)
    return tuple(dict.fromkeys(name for each in found for name in each))


def first_stop(view: View, layer: LayerReading) -> tuple[str, ...]:
    """Where the signal ends on its way back: at the first layer that lets nothing through, or right in front of it."""
    current = [layer.name]
    seen = set(current)
    while current:
        stops = []
        following: list[str] = []
        for name in current:
            for reader in (view.layers[other] for other in view.downstream[name]):
                if reader.transmission:
                    stops.append(view.stage(reader if reader.incoming == 0.0 else view.layers[name]))
                elif reader.name not in seen:
                    following.append(reader.name)
        if stops:
            return tuple(dict.fromkeys(stops))
        seen.update(following)
        current = list(dict.fromkeys(following))
    return ()
