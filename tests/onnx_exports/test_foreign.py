"""Files of Keras and tf2onnx: values against ONNX Runtime, gradients against TensorFlow's own, names as the user wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from comparing_values import compare_values, feed_of

from gradcheck_cli.loaders.onnx_model.build import build

Array = np.ndarray[Any, Any]
FOREIGN = Path(__file__).parent / "foreign"
FILES = sorted(path.stem for path in FOREIGN.glob("*.onnx"))
ROLES = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
"""Keras's names of weights → ours."""
LSTM = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}


def _kept(file: str) -> dict[str, Array]:
    with np.load(FOREIGN / f"{file.partition('_')[2]}.npz") as kept:
        return dict(kept)


def _numbered(kept: dict[str, Array], letter: str) -> list[torch.Tensor]:
    return [torch.from_numpy(kept[name]) for i in range(len(kept)) if (name := f"{letter}{i}") in kept]


def test_there_are_files_of_both_converters() -> None:
    assert {name.partition("_")[0] for name in FILES} == {"keras", "tf2onnx13", "tf2onnx18"}
    assert len(FILES) >= 18


@pytest.mark.parametrize("file", FILES)
def test_every_value_is_that_of_onnx_runtime(file: str) -> None:
    model = onnx.load(FOREIGN / f"{file}.onnx")
    result = compare_values(model, feed_of(model, _numbered(_kept(file), "x")))
    assert result.tensors >= len(model.graph.node) // 4
    assert result.worst < 1e-3, result.where


@pytest.mark.parametrize("file", FILES)
def test_gradients_are_those_of_tensorflow(file: str) -> None:
    kept = _kept(file)
    module = build(onnx.load(FOREIGN / f"{file}.onnx")).eval()
    output = module(*_numbered(kept, "x"))
    torch.testing.assert_close(output, _numbered(kept, "y")[0], rtol=1e-4, atol=1e-5)
    (output * _numbered(kept, "c")[0]).sum().backward()
    ours = {name: (p.detach(), p.grad) for name, p in module.named_parameters()}
    left = set(ours) - {name for name in ours if "bias_hh" in name}  # Keras's LSTM has one bias
    for name in (name[2:] for name in kept if name.startswith("w:")):
        value, wanted = torch.from_numpy(kept[f"w:{name}"]), torch.from_numpy(kept[f"g:{name}"])
        if "convolutional" in file and name.startswith(("stem", "norm")):
            left -= {"stem.weight", "stem.bias"}  # the batch norm is folded
            continue
        if file.endswith("single_unit") and name.endswith("bias"):
            assert not value.any()  # and so it was dropped
            continue
        expected = _expected(name, value, ours)
        own, found = ours[expected]
        assert found is not None
        torch.testing.assert_close(_as_keras(own, value), value)
        atol = 1e-4 * float(wanted.abs().max()) + 1e-6  # that of a key's bias is zero by nature
        torch.testing.assert_close(_as_keras(found, value), wanted, rtol=1e-4, atol=atol)
        left.discard(expected)
    assert not left


def _expected(name: str, value: torch.Tensor, ours: Mapping[str, tuple[torch.Tensor, torch.Tensor | None]]) -> str:
    """Our name of one of Keras's weights."""
    *path, role = name.split("/")
    if path[0] == "both":  # the converters lost the LSTM's name
        ending = LSTM[role] + ("_reverse" if "backward" in path[1] else "")
        return next(each for each in ours if each.endswith(ending))
    if path[0] == "gru":  # spelled out in a Loop: the layer is known, and the shapes tell the weights apart
        return next(each for each, (own, _) in ours.items() if each.startswith("gru.") and own.shape == value.shape)
    return ".".join([*(part for part in path if part != "sequential"), ROLES[role]])


def _as_keras(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Convolution kernels ``(out, in, h, w)`` as ``(h, w, in, out)``, recurrent ones transposed; matrices stay."""
    if tensor.dim() == 4:
        orders = ((2, 3, 1, 0), (2, 3, 0, 1))
        return next(turned for order in orders if (turned := tensor.permute(order)).shape == like.shape)
    recurrent = tensor.dim() == 2 and tensor.shape != like.shape and tensor.T.shape == like.shape
    return tensor.T if recurrent else tensor.reshape(like.shape)
