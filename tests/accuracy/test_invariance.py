"""What changes nothing about a network's ability to learn must change no verdict."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import labelled_path  # noqa: F401
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from verdict_nets import CHAINS, NETS, Loss, Net, built, verdicts

import gradcheck_cli as gradcheck

names = st.sampled_from(sorted(NETS))
some = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@functools.cache
def usual(name: str) -> list[str]:
    return verdicts(built(name))


@pytest.mark.parametrize("name", NETS)
def test_theory_gives_the_verdict(name: str) -> None:
    assert usual(name)[0] == NETS[name][0]


def times(factor: float) -> Loss:
    def scaled(out: Tensor, target: Tensor) -> Tensor:
        return torch.mul(F.cross_entropy(out, target), factor)

    return scaled


@some
@given(name=names, exponent=st.floats(-6, 6))
def test_a_factor_on_the_loss(name: str, exponent: float) -> None:
    assert verdicts(built(name), loss=times(10.0**exponent)) == usual(name)


@pytest.mark.parametrize("exponent", [-6, -2, 1, 6])
@pytest.mark.parametrize("name", NETS)
def test_a_factor_on_the_loss_of_a_rehearsal(name: str, exponent: int) -> None:
    assert verdicts(built(name), loss=times(10.0**exponent), rehearse=5)[0] == usual(name)[0]


@some
@given(name=names, size=st.integers(8, 64))
def test_batch_size(name: str, size: int) -> None:
    assert verdicts(built(name), batch_size=size) == usual(name)


@some
@given(name=names)
def test_float64(name: str) -> None:
    net = built(name)
    assert verdicts(Net(net.module.double(), net.inputs.double(), net.target)) == usual(name)


# ------------------------------------------------------------------------------------------------------ other parameters


def owners(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def permute_recurrent(rnn: nn.RNNBase, order: Tensor) -> None:
    """The hidden state's units in another order: rows of every gate, and columns where the state is read."""
    width = rnn.hidden_size
    for name, parameter in rnn.named_parameters():
        gates = len(parameter) // width
        rows = torch.cat([gate * width + order for gate in range(gates)])
        parameter.data.copy_(parameter[rows])
        if "weight_hh" in name:
            parameter.data.copy_(parameter[:, order])


@some
@given(name=names, seed=st.integers(0, 10**6))
def test_units_in_another_order(name: str, seed: int) -> None:
    net = built(name)
    generator = torch.Generator().manual_seed(seed)
    layers = owners(net.module)
    before = net.module(net.inputs)
    for layer, reader in pairwise(layers):
        order = torch.randperm(len(layer.weight), generator=generator)
        layer.weight.data.copy_(layer.weight[order])
        assert layer.bias is not None
        layer.bias.data.copy_(layer.bias[order])
        reader.weight.data.copy_(reader.weight[:, order])
    for rnn in (module for module in net.module.modules() if isinstance(module, nn.RNNBase)):
        order = torch.randperm(rnn.hidden_size, generator=generator)
        permute_recurrent(rnn, order)
        layers[0].weight.data.copy_(layers[0].weight[:, order])
    torch.testing.assert_close(net.module(net.inputs), before, rtol=1e-3, atol=1e-4)  # the oracle: the same function
    assert verdicts(net) == usual(name)


@some
@given(name=st.sampled_from(sorted(CHAINS)), where=st.integers(0, 2), factor=st.sampled_from([1 / 8, 1 / 2, 2.0, 8.0]))
def test_a_rescale_that_relu_lets_through(name: str, where: int, factor: float) -> None:
    net = built(name)
    layers = owners(net.module)
    before = net.module(net.inputs)
    layer, reader = layers[where], layers[where + 1]
    assert layer.bias is not None
    layer.weight.data.mul_(factor)
    layer.bias.data.mul_(factor)
    reader.weight.data.div_(factor)
    torch.testing.assert_close(net.module(net.inputs), before, rtol=1e-3, atol=1e-4)
    assert verdicts(net) == usual(name)


@some
@given(
    name=names,
    words=st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), min_size=12, max_size=12, unique=True),
)
def test_renamed_layers(name: str, words: list[str]) -> None:
    net = built(name)
    children = list(net.module.children())
    if isinstance(net.module, nn.Sequential):
        new = (f"{words[index % 12]}{index}" for index in range(len(children)))
        renamed: nn.Module = nn.Sequential(OrderedDict(zip(new, children, strict=True)))
    else:
        renamed = nn.Sequential(OrderedDict([(words[0] + "0", net.module)]))
    assert verdicts(Net(renamed, net.inputs, net.target)) == usual(name)


def test_a_diagnosis_is_the_same_twice() -> None:
    net = built("rnn-relu")
    again = Net(copy.deepcopy(net.module), net.inputs, net.target)
    assert verdicts(net) == verdicts(again)


# ---------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("name", ["relu", "relu-small", "relu-dead", "relu-large", "cnn", "cnn-dead", "tanh"])
def test_saved_as_pt_and_pt2(name: str, tmp_path: Path) -> None:
    net = built(name)
    data = (net.inputs, net.target)
    live = gradcheck.diagnose(net.module, data, loss=F.cross_entropy, batch_size=64, rehearse=0)
    torch.save(net.module, tmp_path / "net.pt")
    torch.export.save(torch.export.export(net.module, (net.inputs,)), tmp_path / "net.pt2")
    wanted = {layer.name: layer.verdict for layer in live.layers if layer.parameters}
    for file in ("net.pt", "net.pt2"):
        found = gradcheck.diagnose(tmp_path / file, data, loss=F.cross_entropy, batch_size=64, rehearse=0)
        assert found.verdict is live.verdict
        assert {layer.name: layer.verdict for layer in found.layers if layer.parameters} == wanted
