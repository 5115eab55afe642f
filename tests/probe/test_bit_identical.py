"""Parameter gradients of the instrumented pass are those of a bare `torch.autograd.grad`, bit by bit."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from looking import batch_of, layer_of, look_at, seed_all, signs
from models import ZOO
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from gradcheck_cli.errors import NotCompleted
from gradcheck_cli.probe.backward import backward
from gradcheck_cli.probe.batch import forward, prepare
from gradcheck_cli.probe.cotangents import predictions
from gradcheck_cli.probe.layers import layers_of_calls
from gradcheck_cli.probe.restore import untouched
from gradcheck_cli.records import Batch

Case = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]
Gradients = Mapping[str, "Tensor | None"]


def instrumented(module: nn.Module, batch: Batch) -> Gradients:
    with untouched(module):
        subject = prepare(module, seed=0)
        run = forward(subject, batch)
        calls = layers_of_calls(run.tape.scopes, subject.owners)
        found: dict[str, Tensor | None] = dict.fromkeys(subject.parameters)

        def receive(name: str, gradient: Tensor) -> None:
            assert found[name] is None, "given twice"
            found[name] = gradient.clone()

        backward(run.tape, run.roots, signs(run.roots), subject.parameters, receive, calls=calls, retain_graph=True)
        return found


def bare(module: nn.Module, batch: Batch) -> Gradients:
    seed_all(0)
    output = module(*batch.args, **batch.kwargs)
    roots = [tensor for tensor in predictions(output) if tensor.grad_fn is not None]
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(roots, list(parameters.values()), signs(roots), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


def built(case: Callable[[], Case]) -> tuple[nn.Module, Batch]:
    """The same model and inputs at every call; lazy layers get their shapes."""
    torch.manual_seed(7)
    module, args, kwargs = case()
    if any(isinstance(p, nn.UninitializedParameter) for p in module.parameters()):
        module(*args, **kwargs)
    return module, batch_of(*args, kwargs=kwargs)


def check(case: Callable[[], Case]) -> None:
    found = instrumented(*built(case))
    expected = bare(*built(case))
    assert found.keys() == expected.keys()
    assert any(gradient is not None and gradient.any() for gradient in expected.values())
    for name, gradient in expected.items():
        other = found[name]
        if gradient is None or other is None:
            assert gradient is other, name
        else:
            assert torch.equal(_dense(other), _dense(gradient)), name


def _dense(tensor: Tensor) -> Tensor:
    return tensor.to_dense() if tensor.is_sparse else tensor


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name: str) -> None:
    check(lambda: (*ZOO[name](), {}))


@pytest.mark.parametrize("name", ZOO)
def test_the_zoo_is_measured_whole(name: str) -> None:
    """The same nets through the front door: nothing raises, and every layer that ran and is heard has a finite T."""
    module, inputs = ZOO[name]()
    readings = look_at(module, *inputs)
    heard = [layer for layer in readings.layers if layer.reached]
    assert heard
    for layer in heard:
        assert layer.transmission is not None
        assert 0.0 <= layer.transmission < float("inf"), layer.name


class Function(nn.Module):
    """A module whose forward is a function of itself and the inputs."""

    def __init__(self, function: Callable[..., Any], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def _x(*shape: int) -> Tensor:
    return torch.randn(*shape)


def inplace_relu() -> Case:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU6(True)
    )
    return net, (_x(2, 3, 8, 8),), {}


def inplace_residual() -> Case:
    def run(self: Any, x: Tensor) -> Tensor:
        y = self.a(x)
        y += self.b(y.relu())
        y[:, 0] = 0.0
        return F.relu_(y.mul_(2.0))

    return Function(run, a=nn.Linear(6, 6), b=nn.Linear(6, 6)), (_x(4, 6),), {}


def input_written_in_place() -> Case:
    def run(self: Any, x: Tensor) -> Tensor:
        x.mul_(2.0)
        return self.a(x)

    return Function(run, a=nn.Linear(6, 6)), (_x(4, 6),), {}


def checkpointed() -> Case:
    inner = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, 6), nn.Sigmoid())

    def run(self: Any, x: Tensor) -> Any:
        return checkpoint(self.inner, checkpoint(self.inner, self.a(x), use_reentrant=False), use_reentrant=False)

    return Function(run, a=nn.Linear(6, 6), inner=inner), (_x(4, 6),), {}


def weight_norm() -> Case:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 2)), (_x(4, 6),), {}


def old_weight_norm() -> Case:
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 2)), (_x(4, 6),), {}


def spectral_norm() -> Case:
    conv = parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
    return nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)), (_x(2, 3, 6, 6),), {}


def orthogonal() -> Case:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(6, 6)), nn.Tanh(), nn.Linear(6, 2)), (_x(4, 6),), {}


def tied() -> Case:
    embedding, head = nn.Embedding(9, 6), nn.Linear(6, 9, bias=False)
    head.weight = embedding.weight
    return nn.Sequential(embedding, nn.Linear(6, 6), nn.GELU(), head), (torch.randint(0, 9, (4, 5)),), {}


def sparse_embedding() -> Case:
    return nn.Sequential(nn.Embedding(9, 6, sparse=True), nn.Linear(6, 2)), (torch.tensor([[1, 1, 3]]),), {}


def dropout() -> Case:
    return nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.AlphaDropout(0.3), nn.Linear(32, 2)), (_x(4, 6),), {}


class Straight(torch.autograd.Function):
    """Rounds, and passes the gradient straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 1)


def custom_function() -> Case:
    def run(self: Any, x: Tensor) -> Any:
        return self.b(Straight.apply(self.a(x)))

    return Function(run, a=nn.Linear(6, 6), b=nn.Linear(6, 2)), (_x(4, 6),), {}


def attention_with_weights() -> Case:
    return _attention(need_weights=True)


def attention_without_weights() -> Case:
    return _attention(need_weights=False)


def _attention(*, need_weights: bool) -> Case:
    def run(self: Any, x: Tensor) -> Any:
        return self.b(self.attention(x, x, x, need_weights=need_weights)[0])

    attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
    return Function(run, attention=attention, b=nn.Linear(8, 2)), (_x(3, 5, 8),), {}


def transformer() -> Case:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (_x(3, 5, 8),), {}


def complex_layers() -> Case:
    def run(self: Any, x: Tensor) -> Any:
        return torch.view_as_real(self.b(self.a(torch.complex(x, x.flip(0)))))

    kind = torch.complex64
    return Function(run, a=nn.Linear(6, 6, dtype=kind), b=nn.Linear(6, 2, dtype=kind)), (_x(4, 6),), {}


def fourier() -> Case:
    def run(self: Any, x: Tensor) -> Any:
        return self.b(torch.fft.irfft(torch.fft.rfft(self.a(x)) * self.b.bias[0], n=6))

    return Function(run, a=nn.Linear(6, 6), b=nn.Linear(6, 6)), (_x(4, 6),), {}


def kwargs_only() -> Case:
    def run(self: Any, *, image: Tensor, text: Tensor) -> Any:
        return self.a(image) * self.b(text).sum(1)

    return (
        Function(run, a=nn.Linear(6, 3), b=nn.Embedding(9, 3)),
        (),
        {"image": _x(4, 6), "text": torch.randint(0, 9, (4, 5))},
    )


def nested_outputs() -> Case:
    def run(self: Any, x: Tensor) -> Any:
        y = self.a(x)
        return {"heads": [self.b(y), {"deep": (self.c(y), None, 3)}], "index": y.argmax(1)}

    return Function(run, a=nn.Linear(6, 6), b=nn.Linear(6, 2), c=nn.Linear(6, 3)), (_x(4, 6),), {}


def unused_and_frozen() -> Case:
    net = Function(lambda self, x: self.b(self.a(x)), a=nn.Linear(6, 6), b=nn.Linear(6, 2), unused=nn.Linear(2, 2))
    net.a.weight.requires_grad_(False)
    return net, (_x(4, 6),), {}


def gradient_in_forward() -> Case:
    """A physics-informed net: the output is differentiated by the input inside forward."""

    def run(self: Any, x: Tensor) -> Any:
        x = x.detach().requires_grad_()
        y = self.b(torch.tanh(self.a(x)))
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return torch.cat([y, slope], 1)

    return Function(run, a=nn.Linear(6, 6), b=nn.Linear(6, 1)), (_x(4, 6),), {}


def hooked_by_its_user() -> Case:
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    net[0].register_forward_hook(lambda _module, _inputs, output: output * 2)
    net[0].weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
    return net, (_x(4, 6),), {}


def half_precision() -> Case:
    return (
        nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 2)).to(torch.bfloat16),
        (_x(4, 6).to(torch.bfloat16),),
        {},
    )


def double_precision() -> Case:
    return nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 2)).double(), (_x(4, 6).double(),), {}


CASES = [
    inplace_relu, inplace_residual, input_written_in_place, checkpointed, weight_norm, old_weight_norm, spectral_norm,
    orthogonal, tied, sparse_embedding, dropout, custom_function, attention_with_weights, attention_without_weights,
    transformer, complex_layers, fourier, kwargs_only, nested_outputs, unused_and_frozen, gradient_in_forward,
    hooked_by_its_user, half_precision, double_precision,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_special(case: Callable[[], Case]) -> None:
    check(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_special_through_the_front_door(case: Callable[[], Case]) -> None:
    module, batch = built(case)
    readings = look_at(module, batches=(batch,))
    reached = {parameter.name for layer in readings.layers for parameter in layer.parameters if parameter.reached}
    gradients = bare(*built(case))
    first_names = {name for name, gradient in gradients.items() if gradient is not None}
    tied = {p.name for layer in readings.layers for p in layer.parameters if p.tied_to}
    assert reached - tied == first_names


def test_a_conjugated_gradient_is_measured() -> None:
    """Autograd hands conjugated gradients on lazily, and `view_as_real` refuses those."""
    net = Function(lambda self, x: self.a(x.to(torch.complex64)).conj().real, a=nn.Linear(6, 3, dtype=torch.complex64))
    bias = layer_of(look_at(net, _x(5, 6)), "a").parameters[1]
    assert bias.signal


def test_a_model_that_uses_vmap_is_measured() -> None:
    """The ensembles of torch's own tutorial: the functional call of a module under `torch.func.vmap`."""

    def run(self: Any, x: Tensor) -> Any:
        weights = {"weight": torch.stack([self.a.weight, self.b.weight])}
        return torch.func.vmap(lambda w, x: torch.func.functional_call(self.a, w, (x,)), (0, None))(weights, x)

    net = Function(run, a=nn.Linear(6, 3, bias=False), b=nn.Linear(6, 3, bias=False))
    readings = look_at(net, _x(4, 6))
    assert all(parameter.signal for layer in readings.layers for parameter in layer.parameters)


def test_reentrant_checkpoints_are_refused_with_the_way_out() -> None:
    """`autograd.grad` cannot go through them; the model can be trained all the same, and the message must not deny it."""
    net = Function(
        lambda self, x: checkpoint(self.a, self.i(x), use_reentrant=True), i=nn.Linear(6, 6), a=nn.Linear(6, 3)
    )
    with pytest.raises(NotCompleted) as caught:
        look_at(net, _x(4, 6))
    assert "use_reentrant" in str(caught.value)
    assert "cannot be trained" not in caught.value.hint
