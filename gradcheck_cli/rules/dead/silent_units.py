"""Most units of a layer never fire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from gradcheck_cli.readings import Role
from gradcheck_cli.records import Verdict
from gradcheck_cli.rules.interface import Hit
from gradcheck_cli.rules.view import View
from gradcheck_cli.rules.wording import number


class SilentUnits:
    """Most units of this layer never fire.

    What it measures. A unit is one output channel. It is dead if on every sample and position it sits on the flat side of its
    one-sided activation (ReLU family, GELU, SiLU …): slope 0, or below 1e-6 of the usual. The layer is dead if at least half of
    its units are. A share of zeros says nothing: half of all values are zero behind a healthy ReLU. Units behind a layer that is
    dead already get a constant input and are not judged; where no unit tells one sample from another, chance alone silences
    half of them, and the bound is raised accordingly.

    Why it matters. A dead unit gets no gradient, so no step of any optimiser can wake it.

    Remedy. Leaky activations, He initialisation with zero bias, a lower learning rate, normalisation in front.

    Source. Lu et al. 2019 (Dying ReLU); a unit silent N times may still fire with a probability of up to 3/N.

    Ill.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        nn.init.constant_(model[0].bias, -10)
        # GC301 at 0

    Healthy.

        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        nn.init.constant_(model[0].bias, 0)
    """

    code: ClassVar[str] = "GC301"
    name: ClassVar[str] = "silent-units"
    verdict: ClassVar[Verdict] = Verdict.DEAD

    def check(self, view: View) -> Iterator[Hit]:
        """Hit the layer whose units these are, and the activation beside it."""
        for name, share in view.silent_units.items():
            layer = view.layers[name]
            units = layer.units
            assert units is not None
            stage = view.stage(layer)
            by_itself = layer.role is not Role.PARAMETRIC
            flat = f"{layer.kind} {name}" if by_itself else "the activation that ends it"
            message = (
                f"{len(units.dead)} of {units.units} units never fire: {flat} is flat on all of "
                f"{units.seen} values each (chance of firing below {number(3 / units.seen)})"
            )
            yield Hit(
                layer=stage,
                culprit=True,
                confidence=min(1.0, 0.5 + share / 2) if share < 1 else 1.0,
                message=message,
                evidence={
                    "dead_units": share,
                    "units": list(units.dead[:100]),
                    "seen": units.seen,
                    **({"activation": layer.kind, "activation_layer": name} if by_itself else {}),
                    "cause": "silent-units",
                },
            )
            if stage != name:
                yield Hit(
                    layer=name,
                    because_of=(stage,),
                    message=f"flat for {len(units.dead)} of {units.units} units of {stage}",
                )
