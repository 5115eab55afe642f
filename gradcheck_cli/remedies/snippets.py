"""Code that names the user's own layers. Names are hostile: they only ever appear as escaped string literals."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence

from gradcheck_cli.records import LayerReport
from gradcheck_cli.remedies.interface import Case
from gradcheck_cli.remedies.kinds import module_path

LISTED = 12
"""More layers than this are not listed one by one if their class tells them apart."""
WIDTH = 100


def literal(name: str) -> str:
    """A Python string literal in double quotes, on one line, ASCII alone."""
    return json.dumps(name)


def submodule(name: str) -> str:
    """Code for the module of that path; of the model itself, if the path is empty."""
    return f"model.get_submodule({literal(name)})" if name else "model"


def chosen_weights(cases: Sequence[Case]) -> list[LayerReport]:
    """The layers with weights of all cases that are modules, in forward order, each once."""
    return _chosen(cases, (layer for case in cases for layer in case.weights))


def chosen_activations(cases: Sequence[Case]) -> list[LayerReport]:
    """The activations of all cases that are modules and can be exchanged, in forward order, each once."""
    return [layer for layer in _chosen(cases, (a for case in cases for a in case.activations)) if module_path(layer)]


def _chosen(cases: Sequence[Case], layers: Iterable[LayerReport]) -> list[LayerReport]:
    by_path = {path: layer for layer in layers if (path := module_path(layer)) is not None}
    place = {layer.name: index for case in cases[:1] for index, layer in enumerate(case.report)}
    return sorted(by_path.values(), key=lambda layer: place.get(layer.name, len(place)))


def for_each(layers: Sequence[LayerReport], report: Sequence[LayerReport], body: str) -> str:
    """`body` for each of `layers` (modules): ``{name}`` in it is the path, ``module``, where it occurs, the module.

    One layer needs no loop; many of one class are told by their class, if few others of the report share it.
    """
    if re.search(r"\bmodule\b", body):
        body = f"module = model.get_submodule({{name}})\n{body}"
    paths = [module_path(layer) or "" for layer in layers]
    if len(paths) == 1:
        return body.replace("{name}", literal(paths[0]))
    return f"for name in {_targets(layers, paths, report)}:\n" + textwrap.indent(body.replace("{name}", "name"), "    ")


def _targets(layers: Sequence[LayerReport], paths: Sequence[str], report: Sequence[LayerReport]) -> str:
    kinds = {layer.kind for layer in layers}
    others = [path for layer in report if layer.kind in kinds and (path := module_path(layer)) and path not in paths]
    if len(paths) <= LISTED or len(kinds) > 1 or len(others) > LISTED:
        return _wrapped(paths)
    condition = f"type(module).__name__ == {literal(kinds.pop())}"
    if others:
        condition += f" and name not in {_tuple(others)}"
    return f"[\n    name for name, module in model.named_modules()\n    if {condition}\n]"


def _tuple(paths: Sequence[str]) -> str:
    return f"({', '.join(map(literal, paths))}{',' if len(paths) == 1 else ''})"


def _wrapped(paths: Sequence[str]) -> str:
    line = _tuple(paths)
    if len(line) <= WIDTH:
        return line
    rows, row = [], ""
    for path in map(literal, paths):
        if row and len(row) + len(path) > WIDTH:
            rows.append(row.rstrip())
            row = ""
        row += f"{path}, "
    return "(\n" + textwrap.indent("\n".join([*rows, row.rstrip()]), "    ") + "\n)"
