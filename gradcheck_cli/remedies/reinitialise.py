"""Draw weights anew, at the scale that the activation behind them asks for.

He, Xavier or orthogonal by activation and kind of layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradcheck_cli.records import LayerReport
from gradcheck_cli.remedies.interface import Case, RemedyUnit
from gradcheck_cli.remedies.kinds import RECURRENT, is_norm
from gradcheck_cli.remedies.snippets import chosen_weights, for_each

HE = 'nn.init.kaiming_normal_(module.weight, nonlinearity="relu")'
DRAWS = {
    "sigmoid": "nn.init.xavier_normal_(module.weight, gain=4.0)  # sigmoid's slope is 1/4",
    "hardsigmoid": "nn.init.xavier_normal_(module.weight, gain=4.0)",
    "tanh": 'nn.init.xavier_normal_(module.weight, gain=nn.init.calculate_gain("tanh"))',
    "hardtanh": "nn.init.xavier_normal_(module.weight)",
    "softsign": "nn.init.xavier_normal_(module.weight)",
    "softmax": "nn.init.xavier_normal_(module.weight)",
    "leakyrelu": 'nn.init.kaiming_normal_(module.weight, a=0.01, nonlinearity="leaky_relu")',
    "selu": 'nn.init.kaiming_normal_(module.weight, nonlinearity="linear")',
}
"""Activation, in lower case → code; He for all others."""
WITH_WEIGHT = frozenset(
    {"Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"}
)
GATES = {"RNN": 1, "RNNCell": 1, "GRU": 3, "GRUCell": 3, "LSTM": 4, "LSTMCell": 4}


def _fits(case: Case) -> bool:
    """Wherever there are weights of a module to draw."""
    return any(layer.parameters for layer in chosen_weights([case]))


def _why(cases: Sequence[Case]) -> str:
    kinds = {layer.kind for layer in chosen_weights(cases)}
    if kinds <= RECURRENT:
        return (
            "Orthogonal recurrent weights keep the length of the state's gradient at each step; an LSTM with forget "
            "bias 1 starts by remembering. What the layer has learnt is lost."
        )
    if any(case.code == "GC301" for case in cases):
        return (
            "Units that no sample switches on stay off; a new draw with zero bias puts about half of the inputs on "
            "the live side. Draw again if it is born dead. What the layer has learnt is lost."
        )
    if any(case.code == "GC304" for case in cases):
        return "Where two factors in series are both zero, neither gets a gradient; one of them has to be drawn."
    return (
        "Variance 2 / fan-in for ReLU (He), 2 / (fan-in + fan-out) times a gain for bounded activations (Xavier) "
        "keep the signal's size from layer to layer. What the layers have learnt is lost."
    )


def _how(cases: Sequence[Case]) -> str:
    layers = [layer for layer in chosen_weights(cases) if layer.parameters]
    return drawing_code([(layer, _activation(layer, cases)) for layer in layers], cases[0].report)


def drawing_code(layers: Sequence[tuple[LayerReport, str]], report: Sequence[LayerReport]) -> str:
    """Code that draws each layer anew for the activation (lower case) behind it, one passage for each way."""
    groups: dict[str, list[LayerReport]] = {}
    for layer, activation in layers:
        groups.setdefault(_body(layer, activation), []).append(layer)
    return "\n".join(for_each(alike, report, body) for body, alike in groups.items())


def _activation(layer: LayerReport, cases: Sequence[Case]) -> str:
    return next((case.activation for case in cases if layer in case.weights), "")


def _body(layer: LayerReport, activation: str) -> str:
    if layer.kind in WITH_WEIGHT:
        return f"{DRAWS.get(activation, HE)}\nif module.bias is not None:\n    nn.init.zeros_(module.bias)"
    if layer.kind in GATES:
        return _recurrent(layer.kind)
    if layer.kind == "Embedding":
        return "nn.init.normal_(module.weight, std=0.02)"
    if is_norm(layer):
        return "module.reset_parameters()"
    return (
        "for key, parameter in module.named_parameters(recurse=False):\n"
        '    if "bias" in key:\n'
        "        nn.init.zeros_(parameter)\n"
        "    elif parameter.dim() > 1:\n"
        "        nn.init.xavier_normal_(parameter)"
    )


def _recurrent(kind: str) -> str:
    gates = GATES[kind]
    code = (
        "for key, parameter in module.named_parameters():\n"
        '    if "weight_hh" in key:\n'
        f"        for gate in parameter.detach().chunk({gates}):\n"
        "            nn.init.orthogonal_(gate)"
    )
    if gates == 4:
        code += '\n    if "bias_ih" in key:\n        parameter.detach().chunk(4)[1].fill_(1.0)  # the forget gate'
    return code


REMEDY = RemedyUnit(
    id="reinitialise",
    title="Initialise the weights for their activation",
    answers={
        **{
            "GC101": 2,
            "GC102": 1,
            "GC103": 4,
            "GC104": 2,
            "GC106": 1,
            "GC107": 1,
            "GC209": 3,
            "GC108": 3,
            "GC212": 3,
            "GC306": 2,
        },
        **{"GC201": 1, "GC202": 1, "GC203": 1, "GC204": 2, "GC205": 5},
        **{"GC301": 2, "GC304": 1},
    },
    cures=frozenset({"weight-scale"}),
    source="Glorot 2010; He 2015; Saxe 2014 (orthogonal); Jozefowicz 2015 (forget gate); Lu 2019 (born dead)",
    fits=_fits,
    why=_why,
    how=_how,
)
