"""After a look the model, and the process, are as before: also when the forward or the backward pass raises."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from looking import batch_of, look_at
from model_state import assert_untouched
from models import ZOO
from torch import Tensor, nn

from gradcheck_cli.errors import NotCompleted


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_zoo(name: str, mode: str) -> None:
    module, inputs = ZOO[name]()
    copies = [x.clone() if isinstance(x, Tensor) else x for x in inputs]
    assert_untouched(module, lambda: look_at(module, *inputs, mode=mode))
    for given, kept in zip(inputs, copies, strict=True):
        assert given is kept or not isinstance(given, Tensor) or torch.equal(given, kept)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, 2))


def x() -> Tensor:
    """Without drawing from the state that the tests watch."""
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


def test_running_statistics_and_their_count() -> None:
    net = small()
    net(x())
    assert_untouched(net, lambda: look_at(net, batches=(batch_of(x()), batch_of(x()))))


def test_mixed_modes() -> None:
    net = small()
    net.eval()
    net[2].train()
    assert_untouched(net, lambda: look_at(net, x(), mode="train"))
    assert_untouched(net, lambda: look_at(net, x(), mode="eval"))


def test_gradients_that_were_there_stay() -> None:
    net = small()
    net(x()).sum().backward()
    net[4].weight.grad = None
    assert_untouched(net, lambda: look_at(net, x(), loss=lambda out, _target: out.square().mean()))


def test_partly_and_wholly_frozen() -> None:
    net = small()
    net[0].requires_grad_(False)
    assert_untouched(net, lambda: look_at(net, x()))
    net.requires_grad_(False)
    readings = []
    assert_untouched(net, lambda: readings.append(look_at(net, x())))
    assert readings[0].unfrozen
    assert all(layer.reached for layer in readings[0].layers)


def test_hooks_of_the_user_stay_and_run() -> None:
    net, seen = small(), []
    net[0].register_forward_hook(lambda _module, _inputs, _output: seen.append("forward"))
    net[4].register_forward_pre_hook(lambda _module, _inputs: seen.append("before"))
    net[4].weight.register_hook(lambda gradient: seen.append("gradient"))
    assert_untouched(net, lambda: look_at(net, x()))
    assert {"forward", "before", "gradient"} <= set(seen)


def test_opened_gates_are_shut_again_bit_by_bit() -> None:
    net = small()
    with torch.no_grad():
        net[4].weight.copy_(torch.zeros(2, 6).neg())
    readings = []
    assert_untouched(net, lambda: readings.append(look_at(net, x())))
    assert readings[0].gates == ("4.weight",)


class Raises(nn.Module):
    """Works, then raises in the middle; or gives a graph that cannot be differentiated."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.first, self.how = small(), how

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.first(x)
        np.random.rand()
        if self.how == "forward":
            raise ValueError("not today")
        if self.how == "backward":
            y = y.exp()
            z = y * 2
            y.add_(1.0)  # exp keeps its result
            return z + y
        if self.how == "custom backward":
            return Refuses.apply(y)
        if self.how == "exit":
            raise KeyboardInterrupt
        return y


class Refuses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise NotImplementedError("no derivative")


@pytest.mark.parametrize("how", ["forward", "backward", "custom backward"])
def test_a_model_that_raises(how: str) -> None:
    net = Raises(how)

    def look() -> None:
        with pytest.raises(NotCompleted) as caught:
            look_at(net, x())
        assert caught.value.slug == ("forward-failed" if how == "forward" else "backward-failed")
        assert {"forward": "ValueError", "backward": "inplace", "custom backward": "no derivative"}[
            how
        ] in caught.value.message

    assert_untouched(net, look)


def test_an_interrupted_look() -> None:
    net = Raises("exit")

    def look() -> None:
        with pytest.raises(KeyboardInterrupt):
            look_at(net, x())

    assert_untouched(net, look)


def test_a_loss_that_raises() -> None:
    net = small()

    def loss(_out: Any, _target: Any) -> Tensor:
        raise IndexError("target out of range")

    def look() -> None:
        with pytest.raises(Exception, match="target out of range"):
            look_at(net, x(), loss=loss)

    assert_untouched(net, look)


def test_a_buffer_that_forward_replaces() -> None:
    class Averages(nn.Module):
        mean: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            self.mean = 0.9 * self.mean + x.detach().mean(0)
            return self.fc(x - self.mean)

    net = Averages()
    assert_untouched(net, lambda: look_at(net, batches=(batch_of(x()), batch_of(x()))))


def test_a_buffer_that_forward_resizes() -> None:
    class Cache(nn.Module):
        cache: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.register_buffer("cache", torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            if self.cache.numel() != len(x):
                self.cache.resize_(len(x)).zero_()
            return self.fc(x)

    net = Cache()
    look_at(net, x())
    assert net.cache.tolist() == [0.0, 0.0]


def test_a_buffer_that_holds_nan() -> None:
    net = small()
    net[1].running_mean[2] = float("nan")
    assert_untouched(net, lambda: look_at(net, x(), mode="train"))


def test_what_forward_remembers_outside_of_buffers() -> None:
    """A stateful net is called once more for each look; only what torch knows of it is put back."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(4, 4)
            self.state: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.state = self.cell(x, None if self.state is None else self.state.detach())
            return self.state

    net = Remembers()
    readings = look_at(net, batches=(batch_of(x()), batch_of(x())))
    assert [layer.name for layer in readings.layers] == ["cell"]


def test_what_a_model_prints_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    class Prints(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            print("inside", tuple(input.shape))  # noqa: T201
            return super().forward(input)

    look_at(nn.Sequential(Prints(4, 2)), x())
    printed = capsys.readouterr()
    assert "inside (8, 4)" in printed.out
    assert set(printed.out.splitlines()) == {"inside (8, 4)"}
    assert printed.err == ""


def test_without_gradients_switched_on() -> None:
    net = small()
    with torch.no_grad():
        assert_untouched(net, lambda: look_at(net, x()))
        inside = look_at(net, x(), seed=1)
    assert all(layer.reached for layer in inside.layers)


def test_in_inference_mode() -> None:
    net, data = small(), x()
    with torch.inference_mode():
        readings = look_at(net, data)
    assert all(layer.reached for layer in readings.layers)


def test_the_same_seed_gives_the_same_readings() -> None:
    net, data = small(), x()
    first = look_at(net, data, seed=3)
    torch.rand(5)
    assert look_at(net, data, seed=3) == first
    assert look_at(net, data, seed=4) != first


def test_parameters_that_forward_itself_rewrites() -> None:
    net = nn.Sequential(nn.Embedding(5, 4, max_norm=0.5), nn.Linear(4, 2))
    assert_untouched(net, lambda: look_at(net, torch.tensor([[0, 1, 2]])))
