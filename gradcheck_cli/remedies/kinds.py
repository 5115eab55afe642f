"""What the remedies need to know of layers by their class name."""

from __future__ import annotations

import re

from gradcheck_cli.records import LayerReport

ONE_SIDED = frozenset(
    {
        "relu", "relu6", "threshold", "clamp", "hardswish", "gelu", "silu", "mish", "softplus", "elu", "celu",
    }
)  # fmt: skip
"""Activations with one flat side, in lower case without underscores."""
BOUNDED = frozenset({"sigmoid", "hardsigmoid", "tanh", "hardtanh", "softsign"})
"""Activations between two flat sides."""
OTHER_ACTIVATIONS = frozenset({"softmax", "leakyrelu", "prelu", "rrelu", "selu", "glu", "logsigmoid", "logsoftmax"})
RECURRENT = frozenset({"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"})


def activation_word(kind: str) -> str:
    """The activation in lower case: ``LeakyReLU`` is ``leakyrelu``, ``NewGELUActivation`` is ``gelu``."""
    word = kind.lower().replace("_", "").removesuffix("activation")
    return "gelu" if word.endswith("gelu") else word


def is_activation(layer: LayerReport) -> bool:
    """True for a known activation, module or function, PReLU too."""
    return activation_word(layer.kind) in ONE_SIDED | BOUNDED | OTHER_ACTIVATIONS


def is_norm(layer: LayerReport) -> bool:
    """True for batch, layer, RMS, group and instance normalisation."""
    return "Norm" in layer.kind


def has_weights(layer: LayerReport) -> bool:
    """True for what multiplies by weights: owns parameters, and is neither normalisation nor activation."""
    return bool(layer.parameters) and not is_norm(layer) and not is_activation(layer)


def module_path(layer: LayerReport) -> str | None:
    """The path for ``model.get_submodule``, empty for the model itself; None for a functional call or a bare parameter.

    Calls of one module beyond the first are named ``path#2``, functional calls ``path.relu()``, a model that is a
    single layer ``(model)``, modules outside of the model's tree ``<unregistered>…``.
    """
    if layer.name == "(model)":
        return ""
    name = re.sub(r"#\d+$", "", layer.name)
    if name.endswith("()") or name.startswith("<") or layer.kind == "Parameter":
        return None
    return name
