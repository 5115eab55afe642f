"""``gradcheck inspect MODEL``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gradcheck_cli.loaders.facts import DataFileFacts, FileFacts, TensorFacts

SHOWN = 12
"""Layers, and operators, that are listed unless all are asked for."""


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model file, or a directory with one.", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Write what was found as JSON.", show_default=False)] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="List every layer and operator.", show_default=False)
    ] = False,
    time_limit: Annotated[float, typer.Option("--time-limit", metavar="SECONDS", min=0, help="End after that.")] = 60,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.", show_default=False)
    ] = False,
) -> int:
    """Tell what MODEL is and what it holds, without running anything in it.

    Says whether opening it would run code, and the command that diagnoses it. The exit status is 0 for a file that
    could be told, 2 for one that is missing or broken.
    """
    from gradcheck_cli.cli import output, progress
    from gradcheck_cli.records import Request
    from gradcheck_cli.worker import supervise, wire

    order = wire.Order(request=Request(model=model), inspect=True, debug=debug)
    with progress.shown(quiet=False) as listener:
        facts = supervise.inspect(order, listener, time_limit=time_limit)
    output.write(_json(facts) if json else _page(facts, verbose=verbose))
    return 0


def _json(facts: FileFacts) -> str:
    import json

    import msgspec

    return json.dumps(msgspec.to_builtins(facts), indent=2) + "\n"


def _page(facts: FileFacts, *, verbose: bool) -> str:
    from gradcheck_cli.text import plain

    rows = [(name, text) for name, text in _rows(facts, verbose=verbose) if text]
    lines = [f"{facts.path}: this is {facts.is_}", *(f"  {name:9} {text}" for name, text in rows)]
    return "".join(f"{plain(line)}\n" for line in lines)


def _rows(facts: FileFacts, *, verbose: bool) -> Iterator[tuple[str, str]]:
    yield "size", f"{facts.bytes:,} bytes" if facts.bytes is not None else ""
    yield "sha256", facts.sha256 or ""
    yield "class", facts.class_name
    yield "written", f"by {facts.producer}" if facts.producer else ""
    yield "versions", ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    yield "holds", _holds(facts)
    yield "under", facts.found_under
    shown = facts.layers if verbose else facts.layers[:SHOWN]
    for index, layer in enumerate(shown):
        yield "" if index else "layers", " ".join(part for part in (layer.name or "(the model)", layer.kind) if part)
    if len(facts.layers) > len(shown):
        yield "", f"and {len(facts.layers) - len(shown)} more (--verbose lists them)"
    for index, tensor in enumerate(facts.inputs):
        yield "" if index else "inputs", f"{tensor.name} {_kind(tensor)}"
    for index, tensor in enumerate(facts.outputs):
        yield "" if index else "outputs", f"{tensor.name} {_kind(tensor)}"
    yield "operators", _operators(facts, verbose=verbose)
    for index, file in enumerate(facts.data_files):
        yield "" if index else "data in", _data_file(file)
    yield "code", _code(facts)
    for index, remark in enumerate(facts.remarks):
        yield "" if index else "remarks", remark
    yield "needs", facts.needs
    yield "diagnose", facts.command


def _operators(facts: FileFacts, *, verbose: bool) -> str:
    shown = facts.operators if verbose else facts.operators[:SHOWN]
    names = [f"{each.count} × {f'{each.domain}.' if each.domain else ''}{each.name}" for each in shown]
    more = len(facts.operators) - len(shown)
    return ", ".join(names) + (f" and {more} more kinds (--verbose lists them)" if more else "")


def _data_file(file: DataFileFacts) -> str:
    size = "which is not there, or not to be read" if file.bytes is None else f"{file.bytes:,} bytes"
    return f"{file.name} ({size}) for {file.tensors} tensor{'' if file.tensors == 1 else 's'}"


def _holds(facts: FileFacts) -> str:
    if not facts.tensors:
        return ""
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in _dtypes(facts.tensors))
    plural = "" if len(facts.tensors) == 1 else "s"
    return f"{len(facts.tensors)} tensor{plural} with {facts.parameters:,} numbers ({dtypes})"


def _dtypes(tensors: Iterable[TensorFacts]) -> list[tuple[str, int]]:
    return Counter(tensor.dtype for tensor in tensors).most_common()


def _kind(tensor: TensorFacts) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def _code(facts: FileFacts) -> str:
    if not facts.runs_code:
        return "nothing in it would run" if facts.command else ""
    names = ", ".join(facts.code[:5]) + (f" and {len(facts.code) - 5} more" if len(facts.code) > 5 else "")
    return f"opening it the usual way would run code{f': {names}' if names else ''}; nothing was run"
