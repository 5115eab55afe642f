"""Readings made by hand, so that rules are tested without a network."""

from __future__ import annotations

import math
from typing import Any

from gradcheck_cli.readings import LayerReading, ParameterReading, Readings, Role, UnitReading


def weight(name: str, **changes: Any) -> ParameterReading:
    fields: dict[str, Any] = {
        "name": name,
        "shape": (8, 8),
        "trainable": True,
        "norm": 3.0,
        "largest": 1.0,
        "signal": 1.0,
    }
    return ParameterReading(**{**fields, **changes})


def linear(
    name: str, transmission: float | None, before: tuple[str, ...] = (), gain: float | None = 1.0, **changes: Any
) -> LayerReading:
    fields: dict[str, Any] = {
        "name": name,
        "kind": "Linear",
        "role": Role.PARAMETRIC,
        "parameters": (weight(f"{name}.weight", signal=transmission),),
        "upstream": before,
        "transmission": transmission,
        "incoming": None if gain is None or transmission is None or not before else gain * transmission,
        "output_rms": 1.0,
    }
    return LayerReading(**{**fields, **changes})


def activation(
    name: str, producer: str, transmission: float, gain: float = 0.7, kind: str = "ReLU", **changes: Any
) -> LayerReading:
    fields: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "role": Role.ACTIVATION,
        "upstream": (producer,),
        "producer": producer,
        "transmission": transmission,
        "incoming": gain * transmission,
        "output_rms": 1.0,
    }
    return LayerReading(**{**fields, **changes})


def units(
    total: int, dead: int = 0, always_on: int = 0, seen: int = 256, saturated: int = 0, bounded: bool = False
) -> UnitReading:
    return UnitReading(
        units=total,
        seen=seen,
        samples=seen,
        dead=tuple(range(dead)),
        saturated=tuple(range(saturated)),
        bounded=bounded,
        always_on=always_on,
    )


def chain(gains: list[tuple[float, float]], kind: str = "ReLU") -> Readings:
    """A plain net: for each (weight gain, activation gain) a Linear and its activation, then a head; T is their product."""
    transmission = 1.0
    layers = [linear("head", 1.0, (f"act{len(gains)}",), 1.0)]
    for number in range(len(gains), 0, -1):
        following = layers[-1]
        transmission *= following.gain if following.gain is not None else 1.0
        layers.append(activation(f"act{number}", f"fc{number}", transmission, gains[number - 1][1], kind))
        transmission *= gains[number - 1][1]
        before = (f"act{number - 1}",) if number > 1 else ()
        layers.append(linear(f"fc{number}", transmission, before, gains[number - 1][0]))
    return readings(*reversed(layers))


def readings(*layers: LayerReading, **changes: Any) -> Readings:
    return Readings(layers=layers, samples=256, batches=4, parameters=math.prod((8, 8)) * len(layers), **changes)
