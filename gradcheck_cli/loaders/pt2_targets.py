"""Which operations an exported program may call: torch's own tensor operators, and arithmetic on sizes."""

from __future__ import annotations

import re
from typing import Any

import torch

from gradcheck_cli.loaders.pt2_errors import DoorError
from gradcheck_cli.loaders.refusals import printable

_ATEN = re.compile(r"torch\.ops\.aten\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")
_FORBIDDEN = frozenset({"from_file"})
"""Operators of aten that reach outside the process."""
_OTHERS = frozenset(
    {f"_operator.{name}" for name in ("getitem", "add", "sub", "mul", "floordiv", "mod", "truediv", "neg", "pos")}
    | {f"_operator.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "not_")}
    | {f"math.{name}" for name in ("trunc", "ceil", "floor", "sqrt")}
    | {f"torch.{name}" for name in ("sym_int", "sym_float", "sym_max", "sym_min", "sym_not", "sym_ite", "sym_sum")}
    | {f"torch.ops.higher_order.{name}" for name in ("cond", "wrap_with_set_grad_enabled", "wrap_with_autocast")}
)


def target(value: Any) -> str:
    """`value` if it is a known operation. Raises `DoorError` with its name."""
    if type(value) is str and (value in _OTHERS or _is_aten(value)):
        return value
    raise DoorError(f"it calls {printable(value, 80)}, which is not on the list of checked operations")


def _is_aten(value: str) -> bool:
    match = _ATEN.fullmatch(value)
    if not match or match[1] in _FORBIDDEN:
        return False
    # Looked up as an operator's overload, so that no attribute of the operator object itself passes.
    packet = getattr(torch.ops.aten, match[1], None)
    return isinstance(packet, torch._ops.OpOverloadPacket) and match[2] in packet.overloads()  # type: ignore[no-untyped-call]
