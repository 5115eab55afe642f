"""The forms in which the examiner handed over a model and its data."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .instruments import Case


def write(case: Case, folder: Path) -> tuple[str, dict[str, Any]]:
    """Write model and data into `folder`; what ``gradcheck.diagnose`` is given: the model and its options."""
    options = dict(case.options)
    if case.data is not None:
        data = folder / f"{case.name}.npz"
        with data.open("wb") as file:
            arrays: dict[str, Any] = {key: value.numpy() for key, value in case.data.items()}
            np.savez(file, **arrays)
        options["data"] = str(data)
    entry = f"{__package__}.entry:{case.name}"
    if case.form == "entry":
        return entry, options
    module, path = case.make(), folder / f"{case.name}.pt"
    if case.form == "module":
        torch.save(module, path)
    elif case.form == "state":
        torch.save(module.state_dict(), path)
        options["arch"] = entry
    else:
        path = path.with_suffix(".pt2" if case.form == "pt2" else ".onnx")
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            _export(module, tuple(x[:8].clone() for x in case.inputs()), case.form, path)
    return str(path), options


def _export(module: nn.Module, inputs: tuple[Any, ...], form: str, path: Path) -> None:
    """A traced file whose first dimension is the batch; all but ``pt2`` are in eval mode."""
    batch = torch.export.Dim("batch", min=2, max=4096)
    dynamic = tuple({0: batch} for _ in inputs)
    if form == "pt2":
        torch.export.save(torch.export.export(module.train(), inputs, dynamic_shapes=dynamic), path)
    elif form == "onnx2":
        torch.onnx.export(
            module.eval(), inputs, path, dynamo=True, dynamic_shapes=dynamic, external_data=False, verbose=False
        )
    else:
        plain = form == "onnxeval"
        names = ["x"] if plain else [f"x{place}" for place in range(len(inputs))]
        kept: dict[str, Any] = (
            {} if plain else {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
        )
        torch.onnx.export(
            *(module.eval(), inputs, path), dynamo=False, dynamic_axes={names[0]: {0: "B"}}, input_names=names, **kept
        )
