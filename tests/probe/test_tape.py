"""Every operation that ran is on the tape, under its owner; T and gain are those of gradients got by other means."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import batch_of, gain_of, layer_of, look_at, question, transmission_of
from models import ZOO
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from gradcheck_cli.probe.batch import forward, prepare
from gradcheck_cli.probe.restore import untouched
from gradcheck_cli.probe.tape import Tape


class Function(nn.Module):
    """A module whose forward is a function of itself and the inputs."""

    def __init__(self, function: Callable[..., Any], **children: Any) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


def tape_of(module: nn.Module, *args: Any) -> Tape:
    with untouched(module):
        return forward(prepare(module, 0), batch_of(*args)).tape


def owned(tape: Tape) -> list[tuple[str, str]]:
    """(module path, operation) in the order in which they ran."""
    return [(tape.scopes[op.scope].path if op.scope >= 0 else "<outside>", op.name) for op in tape.operations]


def _data_nodes(roots: list[Tensor]) -> set[Any]:
    """All nodes of the autograd graph that are no leaf and do not merely reshape one: an independent walk."""
    reshaping = ("TBackward", "TransposeBackward", "ViewBackward", "ExpandBackward", "PermuteBackward", "ToCopyBackward",
                 "SplitBackward", "SplitWithSizesBackward", "UnbindBackward", "UnsafeSplitBackward", "UnsqueezeBackward",
                 "SelectBackward", "SliceBackward", "CloneBackward", "UnsafeViewBackward", "SqueezeBackward",
                 "AliasBackward", "ReshapeAliasBackward")  # fmt: skip

    def constant(node: Any) -> bool:
        if node.name() == "torch::autograd::AccumulateGrad":
            return True
        before = [source for source, _ in node.next_functions if source is not None]
        return node.name().rstrip("0123456789") in reshaping and len(before) == 1 and constant(before[0])

    found: set[Any] = set()
    stack = [tensor.grad_fn for tensor in roots if tensor.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node not in found and not constant(node):
            found.add(node)
            stack.extend(source for source, _ in node.next_functions if source is not None)
    return found


@pytest.mark.parametrize("name", ZOO)
def test_every_operation_of_the_zoo_is_on_the_tape(name: str) -> None:
    module, inputs = ZOO[name]()
    with untouched(module):
        run = forward(prepare(module, 0), batch_of(*inputs))
        expected = _data_nodes(run.roots)
        assert set(run.tape.where) == expected
        assert [op.node for op in run.tape.operations] == sorted(expected, key=lambda node: node._sequence_nr())
        for index, op in enumerate(run.tape.operations):
            assert all(source < index for source, _ in op.inputs)
            for (source, _), slot in zip(op.inputs, op.slots, strict=True):
                assert op.node.next_functions[slot][0] is run.tape.operations[source].node


def test_functional_calls_belong_to_the_module_that_makes_them() -> None:
    inner = Function(lambda self, x: torch.sigmoid(F.gelu(self.fc(x)) * 2.0), fc=nn.Linear(4, 4))
    outer = Function(lambda self, x: F.softmax(self.inner(x).square(), -1).sum(1), inner=inner)
    assert owned(tape_of(outer, torch.randn(3, 4))) == [
        ("inner.fc", "Addmm"),
        ("inner", "Gelu"),
        ("inner", "Mul"),
        ("inner", "Sigmoid"),
        ("", "Pow"),
        ("", "Softmax"),
        ("", "Sum"),
    ]


def test_inplace_operations_are_seen() -> None:
    def run(self: Any, x: Tensor) -> Tensor:
        y = self.fc(x)
        F.relu_(y)
        y += 1.0
        y.mul_(2.0)
        return y.exp_().clamp_(max=3.0)

    names = [op for _, op in owned(tape_of(Function(run, fc=nn.Linear(4, 4)), torch.randn(3, 4)))]
    assert names == ["Addmm", "Relu", "Add", "Mul", "Exp", "Clamp"]


def test_view_chains_and_multi_output_operations() -> None:
    def run(self: Any, x: Tensor) -> Tensor:
        first, second = self.fc(x).view(3, 2, 4).transpose(0, 1).chunk(2, 2)
        a, b = first.unbind(0)
        c, d = second.split(1, 0)
        return a * b + c.squeeze(0) * d.squeeze(0)

    module = Function(run, fc=nn.Linear(4, 8))
    names = [op for _, op in owned(tape_of(module, torch.randn(3, 4)))]
    assert names[:3] == ["Addmm", "View", "Transpose"]
    assert {"Split", "Unbind", "Mul", "Add"} <= set(names)
    assert names.count("Mul") == 2


def test_writing_into_views() -> None:
    def run(self: Any, x: Tensor) -> Any:
        y = self.a(x)
        y[:, 0] = 0.0
        y[:, 1:3].mul_(3.0)
        return self.b(y)

    module = Function(run, a=nn.Linear(4, 4), b=nn.Linear(4, 2))
    assert owned(tape_of(module, torch.randn(3, 4))) == [
        ("a", "Addmm"),
        ("", "CopySlices"),
        ("", "CopySlices"),
        ("b", "Addmm"),
    ]


def _view_used_after_its_base_was_written(self: Any, x: Tensor) -> Any:
    y = self.a(x)
    view = y[:, :2]
    y.mul_(2.0)
    return self.b(torch.cat([view.relu(), y], 1))


def test_a_view_that_is_used_after_its_base_was_written() -> None:
    module = Function(_view_used_after_its_base_was_written, a=nn.Linear(4, 4), b=nn.Linear(6, 2))
    assert transmission_of(look_at(module, torch.randn(3, 4)), "b") == pytest.approx(1.0)


def test_a_module_called_twice_owns_both_calls() -> None:
    module = Function(lambda self, x: self.fc(torch.tanh(self.fc(x))), fc=nn.Linear(4, 4))
    assert owned(tape_of(module, torch.randn(3, 4))) == [("fc", "Addmm"), ("", "Tanh"), ("fc", "Addmm")]


def test_scaled_dot_product_attention() -> None:
    def run(self: Any, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v)

    names = [op for _, op in owned(tape_of(Function(run, qkv=nn.Linear(8, 24)), torch.randn(2, 5, 8)))]
    assert any("ScaledDotProduct" in name for name in names)


def test_a_module_that_runs_the_parameters_of_another() -> None:
    def run(self: Any, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(x), self.store.weight, self.store.bias)

    store = nn.Linear(4, 3)
    module = Function(lambda self, x: self.user(self.fc(x)), fc=nn.Linear(4, 4), store=store, user=nn.Identity())
    module.user = Function(run, store=store)
    readings = look_at(module, torch.randn(3, 4))
    layer = layer_of(readings, "store")
    assert layer.transmission == pytest.approx(1.0)
    assert layer.upstream == ("user.tanh()",)
    assert [p.name for p in layer.parameters] == ["store.weight", "store.bias"]


def test_parameters_of_the_root_module() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.scale = nn.Parameter(torch.full((4,), 0.5))
            self.weight = nn.Parameter(torch.randn(2, 4))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(self.fc(x) * self.scale, self.weight)

    module = Root()
    readings = look_at(module, torch.randn(3, 4))
    assert [layer.name for layer in readings.layers] == ["fc", "scale", "weight"]
    assert transmission_of(readings, "weight") == pytest.approx(1.0)
    assert gain_of(readings, "scale") == pytest.approx(0.5, rel=1e-5)


def test_a_scripted_model_is_measured() -> None:
    """An entry point may give one."""
    net = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)))
    readings = look_at(net, torch.randn(5, 4))
    assert {p.name for layer in readings.layers for p in layer.parameters if p.signal} >= {"0.weight", "2.weight"}


def test_a_model_that_is_one_layer_has_a_name() -> None:
    (layer,) = look_at(nn.Linear(4, 3), torch.randn(3, 4)).layers
    assert (layer.name, layer.kind) == ("(model)", "Linear")
    assert layer.transmission == pytest.approx(1.0)


def test_layers_of_complex_numbers() -> None:
    kind = torch.complex64
    net = Function(
        lambda self, x: self.b(self.a(x * 1j)).abs(), a=nn.Linear(4, 4, dtype=kind), b=nn.Linear(4, 3, dtype=kind)
    )
    readings = look_at(net, torch.randn(5, 4))
    assert transmission_of(readings, "b") == pytest.approx(1.0, rel=1e-5)
    assert 0.05 < transmission_of(readings, "a") < 20.0
    assert layer_of(readings, "a").reached


def test_a_module_that_returns_an_object_of_its_own() -> None:
    class Answer:
        def __init__(self, value: Tensor) -> None:
            self.value = value

    class Wraps(nn.Linear):
        def forward(self, input: Tensor) -> Any:
            return Answer(super().forward(input))

    readings = look_at(Function(lambda self, x: torch.tanh(self.a(x).value), a=Wraps(4, 4)), torch.randn(5, 4))
    assert layer_of(readings, "a").reached
    assert 0.1 < transmission_of(readings, "a") < 1.0


def test_unregistered_modules_are_counted() -> None:
    module = Function(lambda self, x: self.hidden[0](self.fc(x)), fc=nn.Linear(4, 4), hidden=[nn.Linear(4, 3)])
    assert look_at(module, torch.randn(3, 4)).unregistered == 2
    assert look_at(nn.Sequential(nn.Linear(4, 4)), torch.randn(3, 4)).unregistered == 0


def test_an_input_that_requires_grad_is_no_unregistered_parameter() -> None:
    assert look_at(nn.Sequential(nn.Linear(4, 4)), torch.randn(3, 4).requires_grad_()).unregistered == 0


def test_an_input_that_the_model_differentiates_by_is_no_unregistered_parameter() -> None:
    """A physics-informed net or an energy model: found dead by GC303 for it."""

    def run(self: Any, x: Tensor) -> Tensor:
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(self.b(torch.tanh(self.a(x))).sum(), x, create_graph=True)
        return slope

    module = Function(run, a=nn.Linear(4, 8), b=nn.Linear(8, 1))
    assert look_at(module, torch.randn(3, 4)).unregistered == 0


# -------------------------------------------------------------------------- T and gain against hand-written replicas


def norms(named: dict[str, Tensor], outputs: list[Tensor]) -> dict[str, float]:
    """T of each named tensor, by `retain_grad` and a plain backward pass."""
    for tensor in named.values():
        tensor.retain_grad()
    v = question(*outputs)
    torch.autograd.backward(outputs, v)
    size = math.sqrt(sum(tensor.numel() for tensor in v))
    return {name: float(t.grad.double().norm()) / size for name, t in named.items() if t.grad is not None}


def test_mlp_by_hand() -> None:
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 7), nn.ReLU(), nn.Linear(7, 3))
    x = torch.randn(6, 5)
    readings = look_at(net, x)
    y = {}
    for name, part in net.named_children():
        x = y[name] = part(x)
    expected = norms(y, [x])
    for name in expected:
        assert transmission_of(readings, name) == pytest.approx(expected[name], rel=1e-5)
    for lower, upper in zip("0123", "1234", strict=True):
        assert gain_of(readings, upper) == pytest.approx(expected[lower] / expected[upper], rel=1e-5)
    weight = layer_of(readings, "2").parameters[0]
    assert net[2].weight.grad is not None
    assert weight.signal == pytest.approx(float(net[2].weight.grad.norm()) / math.sqrt(18), rel=1e-5)
    assert weight.norm == pytest.approx(float(net[2].weight.detach().norm()), rel=1e-5)


def test_residual_convolutions_by_hand() -> None:
    """A tensor with two readers: its gradient is the sum, and T of its layer is the norm of that sum."""

    def run(self: Any, x: Tensor, keep: dict[str, Tensor] | None = None) -> Tensor:
        keep = {} if keep is None else keep
        a = keep["a"] = self.a(x)
        act = keep["act"] = self.act(a)
        b = keep["b"] = self.b(act)
        c = keep["c"] = self.c(F.relu(act + b))
        return c.mean((2, 3))

    net = Function(
        run, a=nn.Conv2d(2, 4, 3, padding=1), act=nn.Tanh(), b=nn.Conv2d(4, 4, 3, padding=1), c=nn.Conv2d(4, 3, 3)
    )
    x = torch.randn(5, 2, 6, 6)
    readings = look_at(net, x)
    kept: dict[str, Tensor] = {}
    output = run(net, x, kept)
    for name, value in norms(kept, [output]).items():
        assert transmission_of(readings, name) == pytest.approx(value, rel=1e-5)


def test_a_module_called_twice_by_hand() -> None:
    """Its output is both calls' outputs together."""
    net = Function(lambda self, x: self.head(self.fc(torch.tanh(self.fc(x)))), fc=nn.Linear(4, 4), head=nn.Linear(4, 2))
    x = torch.randn(7, 4)
    readings = look_at(net, x)
    one = net.fc(x)
    two = net.fc(torch.tanh(one))
    expected = norms({"one": one, "two": two}, [net.head(two)])
    assert transmission_of(readings, "fc") == pytest.approx(math.hypot(expected["one"], expected["two"]), rel=1e-5)


def test_transformer_block_by_hand() -> None:
    def run(self: Any, x: Tensor, keep: dict[str, Tensor]) -> Tensor:
        n1 = keep["n1"] = self.n1(x)
        qkv = keep["qkv"] = self.qkv(n1)
        q, k, v = qkv.chunk(3, -1)
        weights = F.softmax(q @ k.transpose(1, 2) / 8**0.5, -1)
        out = keep["out"] = self.out(weights @ v)
        x = x + out
        n2 = keep["n2"] = self.n2(x)
        up = keep["up"] = self.up(n2)
        down = keep["down"] = self.down(F.gelu(up))
        return x + down

    net = Function(
        lambda self, x: run(self, x, {}),
        n1=nn.LayerNorm(8), qkv=nn.Linear(8, 24), out=nn.Linear(8, 8),
        n2=nn.LayerNorm(8), up=nn.Linear(8, 16), down=nn.Linear(16, 8),
    )  # fmt: skip
    x = torch.randn(4, 5, 8)
    readings = look_at(net, x)
    kept: dict[str, Tensor] = {}
    output = run(net, x, kept)
    for name, value in norms(kept, [output]).items():
        assert transmission_of(readings, name) == pytest.approx(value, rel=1e-5)


def test_several_heads_share_one_question() -> None:
    net = Function(lambda self, x: {"a": self.a(x), "b": self.b(x)}, a=nn.Linear(4, 3), b=nn.Linear(4, 5))
    readings = look_at(net, torch.randn(6, 4))
    assert transmission_of(readings, "a") == pytest.approx(math.sqrt(3 / 8))
    assert transmission_of(readings, "b") == pytest.approx(math.sqrt(5 / 8))


def gradient_at_input(module: nn.Module, x: Tensor, v: Tensor) -> float:
    x = x.detach().requires_grad_()
    module(x).backward(v)
    assert x.grad is not None
    return float(x.grad.norm() / v.norm())


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 6),
    "batch_norm": lambda: nn.BatchNorm1d(6),
    "layer_norm": lambda: nn.LayerNorm(6),
    "prelu": lambda: nn.PReLU(6),
    "bilinear_free": lambda: nn.Linear(6, 6, bias=False),
    "gru_cell": lambda: nn.GRUCell(6, 6),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gain_of_one_layer_is_the_norm_at_its_input_over_that_at_its_output(name: str) -> None:
    layer = LAYERS[name]()
    net = nn.Sequential(nn.Linear(6, 6), layer)
    x = torch.randn(8, 6)
    readings = look_at(net, x)
    out = net(x)
    assert gain_of(readings, "1") == pytest.approx(gradient_at_input(layer, net[0](x), question(out)[0]), rel=1e-4)


PARAMETRIZED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": parametrizations.weight_norm,
    "orthogonal": parametrizations.orthogonal,
}


@pytest.mark.parametrize("name", PARAMETRIZED)
def test_gain_of_a_parametrized_layer(name: str) -> None:
    layer = PARAMETRIZED[name](nn.Linear(6, 6))
    net = nn.Sequential(nn.Linear(6, 6), layer)
    x = torch.randn(8, 6)
    readings = look_at(net, x)
    assert gain_of(readings, "1") == pytest.approx(gradient_at_input(layer, net[0](x), question(net(x))[0]), rel=1e-4)


class Squared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x * x)


class RootMeanSquareNorm(nn.Module):
    """As language models write it: x is read by two operations."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(6))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.float64)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)).float()


@pytest.mark.parametrize("make", [Squared, RootMeanSquareNorm])
@pytest.mark.parametrize("residual", [False, True])
def test_gain_of_a_layer_that_reads_its_input_twice(make: Callable[[], nn.Module], residual: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.layer = nn.Linear(6, 6), make()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return 3 * x + self.layer(x) if residual else self.layer(x)

    net, x = Net(), torch.randn(8, 6)
    readings = look_at(net, x)
    expected = gradient_at_input(net.layer, net.first(x), question(net(x))[0])
    assert gain_of(readings, "layer") == pytest.approx(expected, rel=1e-4)
