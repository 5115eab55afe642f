"""Batches add up: the readings of several are the sums of each alone, in whatever order and grouping they are merged."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from looking import batch_of, layer_of, look_at
from models import ZOO
from torch import Tensor, nn

from gradcheck_cli.probe.batch import measure, prepare
from gradcheck_cli.probe.restore import untouched
from gradcheck_cli.probe.totals import Totals
from gradcheck_cli.records import Batch


def net() -> nn.Sequential:
    """Odd numbers of samples and of outputs, so that no sum of ±1 is zero by chance."""
    return nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 7), nn.Tanh(), nn.Dropout(0.1), nn.Linear(7, 3))


def batches() -> tuple[Batch, ...]:
    torch.manual_seed(1)
    return tuple(batch_of(scale * torch.randn(size, 4)) for size, scale in ((5, 1.0), (9, 3.0), (3, 0.1)))


def loss(output: Tensor, _target: Any) -> Tensor:
    return output.square().mean()


def totals_of(module: nn.Module, parts: tuple[Batch, ...]) -> list[Totals]:
    with untouched(module):
        subject = prepare(module, 0)
        return [measure(subject, part, loss)[0] for part in parts]


def merged(*parts: Totals) -> Totals:
    whole = Totals()
    for part in parts:
        whole.merge(copy.deepcopy(part))
    return whole


def plain(value: Any) -> Any:
    """Records and arrays as nested plain values, in which floats can be compared with a tolerance."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def assert_same(one: Any, other: Any, path: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            if key != "sequence":  # the order of the first pass that showed the layer
                assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-12, nan_ok=True), path
    else:
        assert one == other, path


def test_merging_is_associative() -> None:
    a, b, c = totals_of(net(), batches())
    left = merged(merged(a, b), c)
    right = merged(a, merged(b, c))
    assert_same(plain(left), plain(right))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_merging_does_not_ask_for_an_order(order: tuple[int, ...]) -> None:
    parts = totals_of(net(), batches())
    assert_same(plain(merged(*(parts[index] for index in order))), plain(merged(*parts)))


def test_an_empty_sum_is_neutral() -> None:
    (only, *_) = totals_of(net(), batches())
    assert_same(plain(merged(Totals(), only, Totals())), plain(only))


def test_merging_leaves_what_is_added_alone() -> None:
    a, b, _ = totals_of(net(), batches())
    before = copy.deepcopy(plain(a))
    whole = Totals()
    whole.merge(a)
    whole.merge(b)
    assert_same(plain(a), before)


def test_readings_of_several_batches_are_root_mean_squares_of_single_ones() -> None:
    """T² and U² are weighted by ‖v‖², the number of output elements; the loss gradient by batches."""
    module, parts = net(), batches()
    whole = look_at(module, batches=parts, loss=loss)
    single = [look_at(module, batches=(part,), loss=loss) for part in parts]
    weights = [3.0 * part.size for part in parts]
    assert (whole.samples, whole.batches) == (17, 3)
    assert whole.loss == pytest.approx(sum(one.loss or 0.0 for one in single) / 3, rel=1e-6)

    def together(values: list[float | None], by: list[float]) -> float:
        pairs = zip(values, by, strict=True)
        return math.sqrt(sum(weight * value**2 for value, weight in pairs if value is not None) / sum(by))

    for layer in whole.layers:
        alone = [layer_of(one, layer.name) for one in single]
        assert layer.transmission == pytest.approx(together([one.transmission for one in alone], weights), rel=1e-6)
        if layer.incoming is not None:
            assert layer.incoming == pytest.approx(together([one.incoming for one in alone], weights), rel=1e-6)
        assert layer.output_rms == pytest.approx(together([one.output_rms for one in alone], weights), rel=1e-6)
        for number, parameter in enumerate(layer.parameters):
            each = [one.parameters[number] for one in alone]
            assert parameter.signal == pytest.approx(together([one.signal for one in each], weights), rel=1e-6)
            expected = together([one.loss_gradient for one in each], [1.0] * 3)
            assert parameter.loss_gradient == pytest.approx(expected, rel=1e-6)
        if layer.units is not None:
            assert layer.units.seen == sum(one.units.seen for one in alone if one.units is not None)


@pytest.mark.parametrize("name", ["resnet_zero_init", "lstm_classifier", "mixture_of_experts", "gpt", "vit"])
def test_the_same_batch_twice_reads_like_once(name: str) -> None:
    module, inputs = ZOO[name]()
    subject_parts = tuple(batch_of(*inputs) for _ in range(2))
    with untouched(module):
        module.eval()
        subject = prepare(module, 0)
        one = measure(subject, subject_parts[0], None)[0]
        both = merged(one, measure(subject, subject_parts[1], None)[0])
    assert both.question == 2 * one.question
    for key, layer in one.layers.items():
        assert both.layers[key].out == pytest.approx(2 * layer.out, rel=1e-6)
        assert both.relative(both.layers[key].out) == pytest.approx(one.relative(layer.out), rel=1e-6)


def test_batches_that_take_different_paths() -> None:
    """A layer that only one batch reaches is in the report, with what that batch heard."""

    class Either(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.a(x) if float(x[0, 0]) > 0 else self.b(x))

    module = Either()
    up, down = torch.ones(5, 4), -torch.ones(5, 4)
    readings = look_at(module, batches=(batch_of(up), batch_of(down)))
    for name, x in (("a", up), ("b", down)):
        alone = layer_of(look_at(module, x), name).transmission
        assert alone is not None
        assert layer_of(readings, name).transmission == pytest.approx(alone / math.sqrt(2), rel=1e-6)
        assert layer_of(readings, name).reached
