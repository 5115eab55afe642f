"""What changes nothing about a network's ability to learn must change no verdict."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import labelled_path  # noqa: F401
import pytest
import torch
from format_files import exported, onnx_by_old_exporter, pickled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from verdict_nets import CHAINS, NETS, Loss, Net, built, named_verdicts, verdicts

import gradcheck_cli as gradcheck
from gradcheck_cli.records import Diagnosis

names = st.sampled_from(sorted(NETS))
seeds = st.integers(0, 99)
some = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def usual(name: str, seed: int = 0) -> list[str]:
    return verdicts(built(name, seed))


def assert_alike(found: list[str], expected: list[str]) -> None:
    """The model's verdict stays, and so do its layers' but for one stage where an ill stretch begins or ends.

    In a signal that fades or grows step by step, the layer at which it crosses the threshold is not marked by nature: a
    reading that changes by a few percent may move that border.
    """
    assert found[0] == expected[0]
    borders = [place for place in range(2, len(expected)) if expected[place] != expected[place - 1]]
    moved = [place for place, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other]
    stage = 2  # a layer with weights and its activation
    assert [place for place in moved if not any(b - stage <= place < b + stage for b in borders)] == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETS)
def test_theory_gives_the_verdict(name: str, seed: int) -> None:
    assert usual(name, seed)[0] == NETS[name][0]


def times(factor: float) -> Loss:
    def scaled(out: Tensor, target: Tensor) -> Tensor:
        return torch.mul(F.cross_entropy(out, target), factor)

    return scaled


@some
@given(name=names, seed=seeds, exponent=st.floats(-6, 6))
def test_a_factor_on_the_loss(name: str, seed: int, exponent: float) -> None:
    assert verdicts(built(name, seed), loss=times(10.0**exponent)) == usual(name, seed)


@pytest.mark.parametrize("exponent", [-6, -2, 1, 6])
@pytest.mark.parametrize("name", NETS)
def test_a_factor_on_the_loss_of_a_rehearsal(name: str, exponent: int) -> None:
    assert verdicts(built(name), loss=times(10.0**exponent), rehearse=5)[0] == usual(name)[0]


@some
@given(name=names, seed=seeds, size=st.integers(8, 64))
def test_batch_size(name: str, seed: int, size: int) -> None:
    assert_alike(verdicts(built(name, seed), batch_size=size), usual(name, seed))


@some
@given(name=names, seed=seeds)
def test_float64(name: str, seed: int) -> None:
    net = built(name, seed)
    assert verdicts(Net(net.module.double(), net.inputs.double(), net.target)) == usual(name, seed)


# ------------------------------------------------------------------------------------------------------ other parameters

RESCALABLE = sorted((*CHAINS, "cnn", "cnn-dead"))
"""Those whose layers with weights have nothing but ReLU (and a mean over positions) between them."""


def owners(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def assert_same_function(found: Tensor, expected: Tensor) -> None:
    """The oracle: what was changed does not change what the network computes, but for rounding."""
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.detach().abs().max()))


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
@given(name=names, seed=seeds, shuffle=st.integers(0, 10**6))
def test_units_in_another_order(name: str, seed: int, shuffle: int) -> None:
    net = built(name, seed)
    generator = torch.Generator().manual_seed(shuffle)
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
    assert_same_function(net.module(net.inputs), before)
    assert verdicts(net) == usual(name, seed)


@some
@given(name=st.sampled_from(RESCALABLE), seed=seeds, where=st.integers(0, 11), exponent=st.floats(-3, 3))
def test_a_rescale_that_relu_lets_through(name: str, seed: int, where: int, exponent: float) -> None:
    """Of the layer between the two factors T itself changes, so its own verdict may; those of all others, and the model's, stay."""
    net, factor = built(name, seed), 2.0**exponent
    unchanged = named_verdicts(net)
    layers = owners(net.module)
    before = net.module(net.inputs)
    layer, reader = list(pairwise(layers))[where % (len(layers) - 1)]
    assert layer.bias is not None
    layer.weight.data.mul_(factor)
    layer.bias.data.mul_(factor)
    reader.weight.data.div_(factor)
    assert_same_function(net.module(net.inputs), before)
    children = dict(net.module.named_children())
    order = list(children.values())
    between = list(children)[order.index(layer) : order.index(reader)]
    found = named_verdicts(net)
    assert [each for each in unchanged if found[each] != unchanged[each] and each not in between] == []


@some
@given(
    name=names,
    seed=seeds,
    words=st.lists(st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True), min_size=12, max_size=12, unique=True),
)
def test_renamed_layers(name: str, seed: int, words: list[str]) -> None:
    net = built(name, seed)
    children = list(net.module.children())
    if isinstance(net.module, nn.Sequential):
        new = (f"{words[index % 12]}{index}" for index in range(len(children)))
        renamed: nn.Module = nn.Sequential(OrderedDict(zip(new, children, strict=True)))
    else:
        renamed = nn.Sequential(OrderedDict([(words[0] + "0", net.module)]))
    assert verdicts(Net(renamed, net.inputs, net.target)) == usual(name, seed)


def test_a_diagnosis_is_the_same_twice() -> None:
    net = built("rnn-relu")
    again = Net(copy.deepcopy(net.module), net.inputs, net.target)
    assert verdicts(net) == verdicts(again)


# ---------------------------------------------------------------------------------------------------------- formats


def by_dynamo(module: nn.Module, folder: Path, sample: Tensor) -> Path:
    """As people call it: with its optimiser, which drops zero biases."""
    torch.onnx.export(module, (sample,), folder / "x.onnx", dynamo=True, verbose=False)
    return folder / "x.onnx"


FORMATS: dict[str, Callable[[nn.Module, Path, Tensor], Path]] = {
    "pt": lambda module, folder, _sample: pickled(module, folder),
    "pt2": exported,
    "onnx-old": onnx_by_old_exporter,
    "onnx-dynamo": by_dynamo,
}


def in_full(model: nn.Module | Path, net: Net) -> Diagnosis:
    data = (net.inputs, net.target)
    return gradcheck.diagnose(model, data, loss=F.cross_entropy, batch_size=64, rehearse=3, trust=True)


@functools.cache
def original(name: str) -> Diagnosis:
    net = built(name)
    return in_full(net.module, net)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", NETS)
def test_saved_in_another_format(name: str, form: str, tmp_path: Path) -> None:
    net, live = built(name), original(name)
    found = in_full(FORMATS[form](net.module, tmp_path, net.inputs), net)
    assert (found.verdict, found.culprits) == (live.verdict, live.culprits)
    assert {layer.name: layer.verdict for layer in found.layers if layer.parameters} == {
        layer.name: layer.verdict for layer in live.layers if layer.parameters
    }
