"""The examples in the rules' manuals, run: each is plain Python that builds a model, and what to diagnose it with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import gradcheck_cli as gradcheck
from gradcheck_cli.records import Diagnosis, Verdict

_EXPECTED = re.compile(r"# (?P<code>GC\d{3}) at (?P<layer>\S+?)(?:, in an? (?P<verdict>\w+) model)?$")


@dataclass(frozen=True)
class Expected:
    """What the last line of an example says: ``# GC101 at layer``, and ``, in a dead model`` where the rule is not why."""

    code: str
    layer: str
    verdict: Verdict | None


def expected(example: str) -> Expected | None:
    """Read the comment that ends an example; None where there is none."""
    found = _EXPECTED.fullmatch(example.splitlines()[-1])
    if found is None:
        return None
    verdict = found["verdict"]
    return Expected(found["code"], found["layer"], Verdict(verdict) if verdict else None)


def diagnosed(example: str, folder: Path) -> Diagnosis:
    """Run an example and diagnose the `model` it builds, on its `data`, with its `options`.

    Of `checkpoints` the last is diagnosed and the others are `earlier`, all from files in `folder`.
    """
    built: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "__name__": "example"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(example, built)
    model, earlier = built["model"], []
    if "checkpoints" in built:
        *earlier, model = [_saved(each, folder / f"step_{place}.pt") for place, each in enumerate(built["checkpoints"])]
    return gradcheck.diagnose(model, built.get("data"), earlier=earlier, **built.get("options", {}))


def _saved(model: nn.Module, path: Path) -> Path:
    torch.save(model, path)
    return path
