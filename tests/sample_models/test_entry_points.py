"""The truths of the sample entry points, by plain autograd."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

HERE = Path(__file__).parents[2] / "sample_models"


def factory(file: str, name: str) -> Callable[[], nn.Module]:
    spec = importlib.util.spec_from_file_location(f"sample_{file}", HERE / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Callable[[], nn.Module] = getattr(module, name)
    return made


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("vanishing_rnn", 0.0, 1e-20), ("exploding_rnn", 1e6, 1e12), ("orthogonal_rnn", 0.1, 10)],
)
def test_reach_of_the_last_state(name: str, least: float, most: float) -> None:
    """‖gradient at the first step's input‖ / ‖… at the last step's‖, the input weights being the same."""
    net = factory("recurrent_models", name)().double()
    with np.load(HERE / "recurrent_models.npz") as stored:
        x = torch.from_numpy(stored["x"]).double().requires_grad_()
    output = net(x)
    assert output.isfinite().all()
    (grad,) = torch.autograd.grad(output[:, 0].sum(), x)
    assert least <= (grad[:, 0].norm() / grad[:, -1].norm()).item() < most


def gradients(name: str) -> dict[str, torch.Tensor | None]:
    torch.manual_seed(1)
    net = factory("transformers_models", name)()
    net(input_ids=torch.randint(0, 128, (4, 16))).logits.square().mean().backward()
    return {path: parameter.grad for path, parameter in net.named_parameters()}


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_healthy_transformers_reach_every_weight(name: str) -> None:
    for path, grad in gradients(name).items():
        assert grad is not None, path
        assert grad.isfinite().all(), path
        assert grad.any(), path


def test_the_dead_branch_gets_nothing_and_the_rest_does() -> None:
    zero = {path for path, grad in gradients("gpt2_broken").items() if grad is None or not grad.any()}
    branch = "transformer.h.1."
    assert f"{branch}mlp.c_fc.weight" in zero
    assert all(path.startswith((f"{branch}mlp.", f"{branch}ln_2.")) for path in zero)


def test_one_weight_is_nan() -> None:
    net = factory("transformers_models", "bert_broken")()
    ill = [path for path, parameter in net.named_parameters() if not parameter.isfinite().all()]
    assert ill == ["bert.encoder.layer.1.intermediate.dense.weight"]
