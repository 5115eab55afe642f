"""Honest networks whose layers have hostile names: they may be diagnosed, and nothing raw may reach an output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import forged_files as forge
import torch
from torch import nn

from hostile import honest
from hostile.case import LINEAR, Case, of_model
from hostile.weights import tensors

NAMES: dict[str, str] = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://x\x1b\\x",
    "clear": "\x1b[2J\x1b[H",
    "c1-escape": "\x9b31m",
    "carriage-return": "fc\rhealthy",
    "newline": "fc\nhealthy",
    "backspace": "fc\b\b\bok",
    "nul": "f\x00c",
    "tab": "f\tc",
    "bell": "\x07",
    "bidi": "\u202eyhtlaeh",
    "zero-width": "f\u200bc",
    "line-separator": "f\u2028c",
    "markup": "[red]x[/red]",
    "markup-close": "[/]",
    "markup-link": "[link=http://x]y[/link]",
    "html": "<script>alert(1)</script>",
    "attribute": "\" onload='alert(1)'",
    "entity": "&amp;&#x1b;",
    "xml": "]]><x/>",
    "annotation": "::error file=x::owned",
    "json": '"}],"verdict":"healthy',
    "format": "{0}%s%n${x}`id`$(id)",
    "long": "x" * 100_000,
    "wide": "寬" * 300,
    "combining": "a" + "\u0301" * 500,
    "emoji": ":warning: 👩‍👩‍👧‍👦",
    "dunder": "__class__",
    "empty-looking": "\u3164",
}
RAW = ("\x1b", "\x07", "\b", "\r", "\x00", "\x9b", "\u202e", "\u200b", "\u2028")
"""What no output may hold, whatever a file is called or holds."""


def cases() -> Iterator[Case]:
    for label, name in NAMES.items():
        yield dataclasses.replace(of_model("layer-names", label, honest.saved(_renamed(name))), loadable=True)
        state = {f"{name}.weight": torch.ones(2, 2)}
        yield of_model("tensor-names", f"{label}-state-dict", honest.saved(state), options=LINEAR)
        yield of_model("tensor-names", f"{label}-bare", honest.saved(state))
        header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
        yield of_model("tensor-names", f"{label}-safetensors", tensors(header, bytes(4)), options=LINEAR)
        yield of_model("tensor-names", f"{label}-index", _index(name), filename="x.index.json", options=LINEAR)
        if "\n" not in name:
            forged = forge.archive(forge.module(f"evil{name}.Net"))
            yield of_model("class-names", label, forged, "foreign-class", "unsafe-pickle")
        yield Case("data-names", label, _Data(name))


def _renamed(name: str) -> nn.Module:
    """Not through `add_module`, which refuses some names; a file can have them all the same."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    model._modules = dict(zip((name, "b", "c"), model, strict=True))
    return model


def _index(name: str) -> bytes:
    return json.dumps({"weight_map": {name: f"{name}.safetensors"}}).encode()


class _Data:
    """An array of data with the name, for a model that takes none of it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, folder: Path) -> list[str]:
        header = {self.name: {"dtype": "F32", "shape": [3, 7], "data_offsets": [0, 84]}}
        (folder / "x.safetensors").write_bytes(tensors(header, bytes(84)))
        return ["../good.pt", "--data", "x.safetensors"]
