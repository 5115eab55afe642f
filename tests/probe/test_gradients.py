"""Gradients are given away one at a time: the same as torch's, not kept, and nothing is left on the parameters."""
# mypy: disable-error-code="no-untyped-call"
# (torch has no types for what tensors do)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import batch_of, look_at
from torch import Tensor, nn

from gradcheck_cli.probe import gradients
from gradcheck_cli.probe.gradients import differentiate

grad = torch.autograd.grad


@pytest.fixture(autouse=True, params=[0, 10, 26, 10**6])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which are given away: all, the weights, the table alone, none."""
    monkeypatch.setattr(gradients, "LARGE", request.param)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What autograd holds at the end of each pass."""
    found: list[Tensor] = []

    def noting(*args: Any, **kwargs: Any) -> Any:
        result = grad(*args, **kwargs)
        found.extend(gradient for gradient in result if gradient is not None)
        return result

    monkeypatch.setattr(torch.autograd, "grad", noting)
    return found


class Net(nn.Module):
    """A parameter that is read twice, one that is not read, a sparse gradient."""

    def __init__(self, *, sparse: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 5, sparse=sparse)
        self.twice, self.unread = nn.Linear(5, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.twice(torch.tanh(self.twice(self.table(x))))
        return found


def given(net: nn.Module, x: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def receive(name: str, gradient: Tensor) -> None:
        assert name not in found, "given twice"
        found[name] = gradient.to_dense() if gradient.is_sparse else gradient.clone()

    differentiate([net(x)], [cotangent], dict(net.named_parameters()), receive, retain_graph=False)
    return found


@pytest.mark.parametrize("sparse", [False, True])
def test_the_same_gradients(sparse: bool) -> None:
    net, x, cotangent = Net(sparse=sparse), torch.randint(0, 11, (3, 4)), torch.randn(3, 4, 5)
    found = given(net, x, cotangent)
    net(x).backward(cotangent)
    assert found.keys() == {name for name, p in net.named_parameters() if p.grad is not None}
    for name, gradient in found.items():
        own = net.get_parameter(name).grad
        assert own is not None
        assert torch.equal(gradient, own.to_dense() if own.is_sparse else own)


def test_none_is_kept(kept: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "LARGE", 0)
    net, x = Net(), torch.randint(0, 11, (3, 4))
    loss: Callable[[Any, Any], Tensor] = lambda out, target: (out * target).sum()  # noqa: E731
    batches = tuple(batch_of(x, target=torch.randn(3, 4, 5)) for _ in range(2))
    look_at(net, batches=batches, loss=loss)
    assert len(kept) >= 2 * 2 * 3  # batches, passes, parameters that are read
    assert {gradient.untyped_storage().nbytes() for gradient in kept} == {4}


def test_hooks_of_the_users_are_kept_and_seen_and_ours_are_gone() -> None:
    net, x, cotangent = Net(), torch.randint(0, 11, (3, 4)), torch.randn(3, 4, 5)
    before = given(net, x, cotangent)
    handle = net.twice.weight.register_hook(lambda gradient: 3 * gradient)
    after = given(net, x, cotangent)
    assert torch.equal(after["twice.weight"], 3 * before["twice.weight"])
    assert torch.equal(after["table.weight"], before["table.weight"])
    assert len(net.twice.weight._backward_hooks or ()) == 1
    assert net.table.weight._backward_hooks is None
    assert all(parameter.grad is None for parameter in net.parameters())
    handle.remove()


def test_ours_are_gone_after_a_failure() -> None:
    net = Net()
    output = net(torch.randint(0, 11, (3, 4)))
    with pytest.raises(RuntimeError):
        differentiate([output], [torch.zeros(7)], dict(net.named_parameters()), lambda *_: None, retain_graph=False)
    assert all(parameter._backward_hooks is None for parameter in net.parameters())
