"""Use a recurrent cell with gates.

GRU in place of a plain recurrent layer: the same arguments and the same return values.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.snippets import chosen_weights, for_each


def _fits(case: Case) -> bool:
    """Plain recurrent layers."""
    return any(layer.kind in {"RNN", "RNNCell"} for layer in case.weights)


def _how(cases: Sequence[Case]) -> str:
    """Exchange the modules."""
    recurrent = [layer for layer in chosen_weights(cases) if layer.kind in {"RNN", "RNNCell"}]
    if all(layer.kind == "RNN" for layer in recurrent):
        body = (
            "model.set_submodule({name}, nn.GRU(\n"
            "    module.input_size, module.hidden_size, module.num_layers, bias=module.bias,\n"
            "    batch_first=module.batch_first, dropout=module.dropout, bidirectional=module.bidirectional,\n"
            "))"
        )
    else:
        body = "model.set_submodule({name}, nn.GRUCell(module.input_size, module.hidden_size, module.bias))"
    return for_each(recurrent, cases[0].report, body)


REMEDY = RemedyUnit(
    id="gated-cell",
    title="Use a gated cell (GRU or LSTM)",
    answers={"GC104": 1, "GC203": 3},
    source="Hochreiter, Schmidhuber 1997, Long short-term memory; Cho 2014 (GRU)",
    fits=_fits,
    why=(
        "A plain cell multiplies the gradient by its recurrent weights at every step; a gated one adds to its state, "
        "so that a gradient can pass many steps unchanged. A GRU is called like an RNN."
    ),
    how=_how,
)
