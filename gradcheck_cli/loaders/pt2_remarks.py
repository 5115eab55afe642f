"""What an export fixed for good, each as one short sentence: the mode, the batch size, tied weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_MODE_ARGUMENTS = {
    "dropout": "train",
    "dropout_": "train",
    "feature_dropout": "train",
    "feature_dropout_": "train",
    "alpha_dropout": "train",
    "alpha_dropout_": "train",
    "feature_alpha_dropout": "train",
    "native_dropout": "train",
    "rrelu": "training",
    "rrelu_": "training",
    "batch_norm": "training",
    "cudnn_batch_norm": "training",
    "native_batch_norm": "training",
    "_native_batch_norm_legit": "training",
    "_native_batch_norm_legit_functional": "training",
    "lstm": "train",
    "gru": "train",
    "rnn_tanh": "train",
    "rnn_relu": "train",
}
"""Operator → the argument that says which mode it was exported in."""


def remarks(program: dict[str, Any]) -> tuple[str, ...]:
    """The remarks on a clean program (see `pt2_schema.clean_program`)."""
    found = [_mode(program["graph_module"]["graph"]), *_batch_sizes(program["graph_module"])]
    return tuple(remark for remark in found if remark)


def _mode(graph: dict[str, Any]) -> str:
    modes = set(_modes(graph))
    if modes == {True}:
        return "train mode was baked in when it was exported"
    if modes == {False}:
        return "eval mode was baked in when it was exported"
    if modes:
        return "some layers were exported in train mode and some in eval mode; that is baked in"
    return "train or eval mode was baked in when it was exported; no operation in it shows which"


def _modes(graph: dict[str, Any]) -> Iterator[bool]:
    for node in graph["nodes"]:
        parts = node["target"].split(".")
        wanted = _MODE_ARGUMENTS.get(parts[3]) if len(parts) > 3 else None
        if len(parts) > 3 and parts[3].startswith("_native_batch_norm_legit_no_training"):
            yield False
        for argument in node["inputs"]:
            if "as_graph" in argument["arg"]:
                yield from _modes(argument["arg"]["as_graph"]["graph"])
            elif argument["name"] == wanted and "as_bool" in argument["arg"]:
                yield argument["arg"]["as_bool"]


def _batch_sizes(graph_module: dict[str, Any]) -> Iterator[str]:
    """One remark if the first dimension of every tensor input is a number."""
    values = graph_module["graph"]["tensor_values"]
    sizes = []
    for spec in graph_module["signature"]["input_specs"]:
        tensor = spec.get("user_input", {}).get("arg", {}).get("as_tensor")
        shape = values.get(tensor["name"], {}).get("sizes") if tensor else None
        if shape:
            sizes.append(shape[0].get("as_int"))
    if sizes and all(size is not None for size in sizes):
        numbers = ", ".join(str(size) for size in sorted(set(sizes)))
        yield f"the first dimension of its inputs was fixed to {numbers} when it was exported"
