"""Inputs of models of time series, trajectories and the like, whose sizes the config names after the inputs."""

from __future__ import annotations

from typing import Any

from gradcheck_cli.sample.leaf_inputs import LENGTHS
from gradcheck_cli.sample.noise import Noise
from gradcheck_cli.sample.pictures import Form
from gradcheck_cli.sample.settings import parts_of, setting, whole
from gradcheck_cli.sample.signature import Signature

_SCALARS = ("rewards", "returns_to_go")


def series_forms(config: Any, signature: Signature) -> list[Form]:
    """Return the forms of a series that has been seen and is to go on; none where forward names no ``past_values``."""
    if not signature.names("past_values"):
        return []
    context, ahead = whole(config, "context_length") or 64, whole(config, "prediction_length") or 0
    lags = setting(config, "lags_sequence") or [0]
    past = context + (max(lags) if isinstance(lags, (list, tuple)) else 0)
    wide = whole(config, "num_input_channels", "input_size") or 1
    shapes = [(past, wide), (past,)] if wide > 1 else [(past,), (past, 1)]
    forms = [_series(config, signature, past, ahead, shape[1:]) for shape in shapes]
    # Without what lies ahead the model is only asked about what it has seen.
    return [*forms, *({name: noise for name, noise in form.items() if "future" not in name} for form in forms)]


def _series(config: Any, signature: Signature, past: int, ahead: int, rest: tuple[int, ...]) -> Form:
    times, real = _count(config, "num_time_features"), _count(config, "num_static_real_features")
    kinds = _count(config, "num_static_categorical_features")
    table = setting(config, "cardinality")
    cardinality = min(table) if isinstance(table, (list, tuple)) and table else 1
    every: Form = {
        "past_values": Noise((past, *rest)),
        "past_time_features": Noise((past, times)),
        "past_observed_mask": Noise((past, *rest), fill=1),
        "past_values_padding": Noise((past,), fill=0),
        "freq": Noise((1,), fill=0),
        "future_values": Noise((ahead, *rest)),
        "future_time_features": Noise((ahead, times)),
    }
    if kinds:
        every["static_categorical_features"] = Noise((kinds,), high=max(1, cardinality))
    if real:
        every["static_real_features"] = Noise((real,))
    return {name: noise for name, noise in every.items() if signature.names(name)}


def _count(config: Any, name: str) -> int:
    return whole(config, name) or 0


def by_dimension(config: Any, signature: Signature) -> Form:
    """Return the inputs whose width the config names after them: ``state_dim`` for states, ``visual_feat_dim`` and so on."""
    length, found = LENGTHS[0], Form()
    for name in signature.positional + signature.keywords:
        stems = [key[:-4] for _, part in parts_of(config, 0) for key in vars(part) if key.endswith("_dim")]
        stem = next((stem for stem in stems if len(stem) > 2 and name.startswith(stem)), None)
        width = getattr(config, f"{stem}_dim", None)
        if isinstance(width, int) and not name.endswith("mask"):
            found[name] = Noise((length, width))
    if found and signature.names("timesteps"):
        found["timesteps"] = Noise((length,), high=length)
        found |= {name: Noise((length, 1)) for name in _SCALARS if signature.names(name)}
    return found
