"""A table of named columns, and the ways to read it: columns as forward's parameters, or all of them as one matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.matching import Call, match
from gradcheck_cli.sample.signature import TARGET_NAMES, Signature


@dataclass(frozen=True)
class Table:
    """The first rows of a table."""

    columns: dict[str, torch.Tensor]
    """``(B,)`` each, or ``(B, …)`` for columns of lists; by name, or by number from 0 where there are no names."""
    named: bool
    remarks: tuple[str, ...] = ()


def target_column(table: Table, wanted: str | None) -> str | None:
    """Return the name of the column that is the target; None if there is none, or `wanted` is no column.

    Without `wanted`, it is the one with a target's name, in any case of letters.
    """
    if wanted is None:
        return next((name for name in table.columns if table.named and name.casefold() in TARGET_NAMES), None)
    if wanted in table.columns:
        return wanted
    names = tuple(table.columns)
    if not table.named and wanted.removeprefix("-").isdecimal() and -len(names) <= int(wanted) < len(names):
        return names[int(wanted)]
    return None


def no_column(table: Table, wanted: str, path: str) -> SampleError:
    """Return the error for a target that is neither a column nor a file."""
    names = tuple(table.columns)
    has = f"columns {', '.join(names[:12])}{', …' if len(names) > 12 else ''}" if table.named else ""
    has = has or f"{len(names)} columns without names, which go by number: 0 to {len(names) - 1}, or -1 for the last"
    message = f"the table has no column {wanted!r} for the target, and there is no such file; it has {has}"
    return SampleError("missing-target", message, hint="give --target a column of the table, or a file", file=path)


def table_calls(
    table: Table, key: str | None, target: torch.Tensor | None, signature: Signature, main: str | None
) -> list[Call]:
    """Return the ways to hand the table to the model, the likeliest first.

    Columns that are all named as forward's parameters go by name. Else they are one matrix ``(B, F)`` in the order of the
    file: floating, then, where all are integers, as integers. A table whose only column is the target is its own input.

    Raises:
        SampleError: as `match`.
    """
    target = table.columns[key] if key is not None else target
    inputs = {name: column for name, column in table.columns.items() if name != key} or table.columns
    by_name = all(map(signature.names, inputs)) and all(name in inputs for name in signature.needed)
    if (table.named and by_name) or any(column.dim() > 1 for column in inputs.values()):
        return match(inputs, target, None, signature, main)
    matrix = torch.stack([column.to(torch.float64) for column in inputs.values()], dim=1)
    # A one-element tuple, so that a matrix named as nothing goes to the first parameter, with the target apart.
    data = (matrix, target) if target is not None else (matrix,)
    calls = match(data, None, None, signature, main)
    if all(not column.is_floating_point() for column in inputs.values()):
        whole = matrix.to(torch.int64)
        calls += match((whole, *data[1:]), None, None, signature, main)
    return calls
