"""The script reproduces the files, the files load without running code, and each truth holds by plain autograd."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint

HERE = Path(__file__).parents[2] / "sample_models"
TRUTH = json.loads((HERE / "truth.json").read_text(encoding="utf-8"))
CHEAP = ("sigmoid_mlp", "relu_mlp", "exploding_mlp", "born_dead", "born_alive", "relu_unit", "small_transformer")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def load(name: str) -> nn.Sequential:
    module = torch.load(HERE / f"{name}.pt", weights_only=False)
    assert isinstance(module, nn.Sequential)
    return module


def data(name: str, folder: Path = HERE) -> tuple[Tensor, Tensor]:
    with np.load(folder / f"{name}.npz") as stored:
        return torch.from_numpy(stored["x"]), torch.from_numpy(stored["y"])


def transmissions(net: nn.Sequential, x: Tensor) -> dict[str, float]:
    """T of each direct child, in float64: the definition written out with `torch.autograd.grad`."""
    net = net.double().train()
    outputs = {}
    for name, layer in net.named_children():
        x = layer(x.double() if x.is_floating_point() else x)
        outputs[name] = x
    v = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    grads = torch.autograd.grad((x * v).sum(), list(outputs.values()))
    return {name: (g.norm() / v.norm()).item() for name, g in zip(outputs, grads, strict=True)}


def silent(net: nn.Sequential, x: Tensor) -> dict[str, float]:
    """For each ReLU, the share of units (second dimension) that are zero everywhere."""
    shares = {}
    with torch.no_grad():
        for name, layer in net.train().named_children():
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                shares[name] = (x.transpose(0, 1).flatten(1) == 0).all(1).float().mean().item()
    return shares


def test_every_file_has_a_truth_and_its_data() -> None:
    files = {path.name for path in HERE.iterdir() if path.suffix in {".pt", ".pt2", ".onnx"}}
    assert files == {name for name in TRUTH if ":" not in name}
    assert all((HERE / name).with_suffix(".npz").is_file() for name in files)
    assert all(path.stat().st_size < 300_000 for path in HERE.iterdir())
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` | {truth['why']} |" in readme for name, truth in TRUTH.items())


@pytest.mark.parametrize("path", sorted(HERE.glob("*.pt")), ids=lambda path: path.name)
def test_files_hold_torch_classes_only(path: Path) -> None:
    foreign = get_unsafe_globals_in_checkpoint(path)
    assert all(name.startswith(("torch.nn.modules.", "torch.nn.functional.")) for name in foreign), foreign


@pytest.mark.parametrize("path", sorted([*HERE.glob("*.pt*"), *HERE.glob("*.onnx")]), ids=lambda path: path.name)
def test_files_carry_no_path_of_the_machine_that_built_them(path: Path) -> None:
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert str(HERE.parent).encode() not in content


def test_the_culprits_are_modules() -> None:
    for name, truth in TRUTH.items():
        assert bool(truth["culprits"]) == (truth["verdict"] != "healthy")
        if name.endswith(".pt"):
            paths = dict(load(name.removesuffix(".pt")).named_modules())
            assert set(truth["culprits"]) <= set(paths)


def test_the_script_reproduces_the_files(tmp_path: Path) -> None:
    only = [part for name in CHEAP for part in ("--only", name)]
    subprocess.run([sys.executable, HERE / "build.py", "--out", tmp_path, *only], check=True, capture_output=True)
    for name in CHEAP:
        old, new = load(name), torch.load(tmp_path / f"{name}.pt", weights_only=False)
        assert str(old) == str(new)
        torch.testing.assert_close(new.state_dict(), old.state_dict(), rtol=1e-5, atol=1e-7)
        for kept, built in zip(data(name), data(name, tmp_path), strict=True):
            torch.testing.assert_close(built, kept)


@pytest.mark.parametrize("name", ["sigmoid_mlp", "tanh_mlp"])
def test_vanishing_nets_transmit_nothing(name: str) -> None:
    assert transmissions(load(name), data(name)[0])["0"] < 1e-7


def test_exploding_net_transmits_too_much_with_finite_values() -> None:
    x, y = data("exploding_mlp")
    net = load("exploding_mlp")
    assert nn.functional.cross_entropy(net(x), y).isfinite()
    assert transmissions(net, x)["0"] > 1e6


@pytest.mark.parametrize("name", ["relu_mlp", "leaky_unit", "born_alive", "small_transformer", "digits_cnn"])
def test_healthy_nets_transmit_and_fire(name: str) -> None:
    net, (x, _) = load(name), data(name)
    assert all(share < 0.5 for share in silent(net, x).values())
    heard = transmissions(net, x)
    assert min(heard.values()) > 0.01
    assert max(heard.values()) < 30


@pytest.mark.parametrize(("name", "culprit"), [("relu_unit", "1"), ("born_dead", "5"), ("digits_broken", "relu2")])
def test_dead_nets_are_silent_in_the_culprit_alone_or_first(name: str, culprit: str) -> None:
    net, (x, _) = load(name), data(name)
    shares = silent(net, x)
    before = list(shares)[: list(shares).index(culprit)]
    assert shares[culprit] == 1
    assert all(shares[layer] < 0.5 for layer in before)
    assert transmissions(net, x)["conv1" if name == "digits_broken" else "0"] == 0


def test_the_saturated_sigmoid_is_flat_nearly_everywhere() -> None:
    net, (x, _) = load("digits_saturated"), data("digits_saturated")
    with torch.no_grad():
        activation = net[:5](x)
    slope = activation * (1 - activation)
    assert ((slope < 0.0025).float().mean(0) > 0.95).float().mean() > 0.9


def test_digits_nets_are_trained() -> None:
    x, y = data("digits_cnn")
    for net, loss in ((load("digits_cnn"), 0.01), (_exported("residual_cnn"), 0.5)):
        output = net(x)
        assert (output.argmax(1) == y).float().mean() > 0.98
        assert nn.functional.cross_entropy(output, y) < loss


def _exported(name: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(HERE / f"{name}.pt2").module()
