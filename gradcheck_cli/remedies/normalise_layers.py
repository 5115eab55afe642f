"""Put a normalisation behind the layer.

Batch or layer normalisation between the weights and the activation.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.records import LayerReport
from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import is_norm
from gradcheck_cli.remedies.snippets import chosen_weights, for_each

NORMS = {
    "Linear": "nn.LayerNorm(module.out_features)",
    "Conv1D": "nn.LayerNorm(module.nf)",
    "Conv1d": "nn.BatchNorm1d(module.out_channels)",
    "Conv2d": "nn.BatchNorm2d(module.out_channels)",
    "Conv3d": "nn.BatchNorm3d(module.out_channels)",
    "ConvTranspose2d": "nn.BatchNorm2d(module.out_channels)",
}
"""Class of layer → the normalisation that belongs behind it."""


def _fits(case: Case) -> bool:
    """Known layers with weights that have no normalisation behind them and are not the output."""
    return not case.last and bool(_bare(case))


def _how(cases: Sequence[Case]) -> str:
    """Each layer becomes a pair of itself and its normalisation."""
    bare = {layer.name for case in cases for layer in _bare(case)}
    layers = [layer for layer in chosen_weights(cases) if layer.name in bare]
    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    return "\n".join(
        for_each(
            [layer for layer in layers if layer.kind == kind],
            cases[0].report,
            f"model.set_submodule({{name}}, nn.Sequential(module, {NORMS[kind]}))",
        )
        for kind in kinds
    )


def _bare(case: Case) -> list[LayerReport]:
    """The layers of the case without a normalisation right behind them."""
    behind = dict(zip((layer.name for layer in case.report), case.report[1:], strict=False))
    return [
        layer
        for layer in chosen_weights([case])
        if layer.kind in NORMS and layer.name in behind and not is_norm(behind[layer.name])
    ]


REMEDY = RemedyUnit(
    id="normalise-layers",
    title="Normalise between the layers",
    answers={
        "GC101": 3,
        "GC102": 3,
        "GC103": 5,
        "GC201": 3,
        "GC202": 3,
        "GC205": 3,
        "GC301": 3,
        "GC108": 1,
        "GC212": 2,
        "GC112": 1,
    },
    source="Ioffe, Szegedy 2015 (batch norm); Ba 2016 (layer norm); Zhang, Sennrich 2019 (RMS norm)",
    fits=_fits,
    why=(
        "It sets what the activation sees to zero mean and unit variance, so that the size of weights and inputs no "
        "longer adds up over depth, and some units fire for every batch."
    ),
    how=_how,
)
