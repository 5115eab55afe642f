"""The code that remedies give is run on real models, and what it changes is measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from remedy_reports import deep, execute, finding, layer, report_of, transmissions
from torch import Tensor, nn
from torch.nn import functional as F

from gradcheck_cli.records import LayerReport
from gradcheck_cli.remedies import advise
from gradcheck_cli.remedies.cases import case_of
from gradcheck_cli.remedies.registry import REMEDIES


@pytest.fixture(autouse=True)
def _seed_and_one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def how(remedy: str, code: str, name: str, report: tuple[LayerReport, ...], **evidence: Any) -> str:
    unit = next(unit for unit in REMEDIES if unit.id == remedy)
    case = case_of(finding(code, name, **evidence), report)
    assert code in unit.answers
    assert unit.fits(case)
    return unit.how if isinstance(unit.how, str) else unit.how([case])


def apply(remedy: str, code: str, name: str, model: nn.Module, given: dict[str, Any] | None = None, **evidence: Any):  # type: ignore[no-untyped-def]
    return execute(how(remedy, code, name, report_of(model), **evidence), model, **(given or {}))


def gradient(model: nn.Module, name: str) -> Tensor:
    grad = model.get_parameter(name).grad
    assert grad is not None
    return grad


X = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))


def test_a_saturated_layer_is_cured() -> None:
    model = deep(nn.Tanh, depth=2)
    with torch.no_grad():
        model.get_parameter("2.weight").mul_(1e4)
    assert transmissions(model, X)[2] < 0.05
    model.float()
    apply("replace-sigmoid", "GC103", "2", model, activation_layer="3")
    assert 0.1 < transmissions(model, X)[2] < 10
    assert [type(model.get_submodule(name)) for name in ("1", "3")] == [nn.Tanh, nn.ReLU]


def test_a_deep_sigmoid_net_is_cured_by_the_first_remedy() -> None:
    model = deep(nn.Sigmoid)
    assert transmissions(model, X)[0] < 1e-10
    model.float()
    execute(advise([finding("GC101", "28", activation="Sigmoid")], report_of(model))[0].how, model)
    assert not any(isinstance(module, nn.Sigmoid) for module in model.modules())
    assert transmissions(model, X)[0] > 0.01


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.SELU])
@pytest.mark.parametrize(("code", "std"), [("GC101", 0.02), ("GC201", 2.0)])
def test_wrong_scales_are_cured_by_the_activations_own(activation: type[nn.Module], code: str, std: float) -> None:
    model = deep(activation, std=std)
    head = model.get_parameter("40.weight").clone()
    apply("reinitialise", code, "2", model)
    assert torch.equal(model.get_parameter("40.weight"), head)
    assert 0.02 < transmissions(model, X)[0] < 50


def test_residual_connections_carry_the_signal() -> None:
    model = deep(nn.Tanh, std=0.02)
    apply("residual-connection", "GC101", "2", model)
    assert transmissions(model, X)[1] > 0.01
    assert type(model[0]) is nn.Linear  # changes the width, so it cannot have one
    assert [name for name, _ in model[2].named_children()] == ["branch"]


def test_residual_branches_of_an_exploding_net_start_at_zero() -> None:
    model = deep(nn.ReLU, std=2.0)
    assert transmissions(model, X)[1] > 1e4
    model.float()
    apply("residual-connection", "GC201", "2", model)
    assert transmissions(model, X)[1] < 50


def test_residual_connections_in_a_convolutional_stack() -> None:
    convolutions = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]
    model = nn.Sequential(nn.Conv2d(1, 4, 3), *convolutions, nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3))
    apply("residual-connection", "GC101", "1", model)
    assert model(torch.randn(2, 1, 12, 12)).shape == (2, 2, 6, 6)
    wrapped = [index for index, child in enumerate(model) if not isinstance(child, nn.Conv2d)]
    assert wrapped == [1, 2, 3]


def test_normalisation_holds_the_signal() -> None:
    model = deep(nn.Tanh, std=0.02)
    apply("normalise-layers", "GC101", "2", model)
    assert transmissions(model, X)[0] > 1e-3
    assert isinstance(model.get_submodule("0.1"), nn.LayerNorm)


def test_normalisation_of_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    apply("normalise-layers", "GC102", "0", model)
    assert isinstance(model.get_submodule("0.1"), nn.BatchNorm2d)
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 2, 4, 4)


def test_fewer_layers() -> None:
    model = deep(nn.Sigmoid)
    before = transmissions(model, X)[0]
    model.float()
    apply("fewer-layers", "GC101", "3", model)
    assert sum(isinstance(module, nn.Linear) for module in model) == 11
    assert sum(isinstance(module, nn.Sigmoid) for module in model) == 10
    assert transmissions(model, X)[0] > 1e3 * before


def test_a_dead_unit_learns_again_with_a_leak() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    nn.init.constant_(model.get_parameter("0.weight"), -10.0)
    report = (layer("0", "Linear", "weight"), layer("1", "ReLU", dead_units=1.0, units=1))
    execute(advise([finding("GC301", "1")], report)[0].how, model)
    assert model[1].negative_slope == 0.3
    model(torch.rand(8, 1) + 0.1).sum().backward()
    assert gradient(model, "0.weight").item() > 0


def test_a_dead_layer_is_drawn_anew() -> None:
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    nn.init.constant_(model.get_parameter("0.bias"), -50.0)
    apply("reinitialise", "GC301", "1", model)
    assert (model[:2](X) > 0).any(0).all()


def test_nested_paths_and_custom_layers() -> None:
    class LowRank(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Parameter(torch.zeros(2, 4))
            self.bias = nn.Parameter(torch.full((2,), -50.0))

        def forward(self, x: Tensor) -> Tensor:
            return F.gelu(x @ self.down.T + self.bias)

    model = nn.ModuleDict({"h": nn.ModuleList([nn.Identity(), LowRank()])})
    report = (layer("h.1", "LowRank", "down", "bias"),)
    execute(how("reinitialise", "GC304", "h.1", report), model)
    inner = model.get_submodule("h.1")
    assert inner.get_parameter("down").any()
    assert not inner.get_parameter("bias").any()


def test_a_model_that_is_one_layer() -> None:
    model = nn.Linear(3, 3)
    nn.init.zeros_(model.weight)
    execute(how("reinitialise", "GC304", "(model)", (layer("(model)", "Linear", "weight"),)), model)
    assert model.weight.any()


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_weights_become_orthogonal(kind: type[nn.RNN | nn.GRU | nn.LSTM]) -> None:
    model = nn.ModuleDict({"rnn": kind(3, 8)})
    apply("reinitialise", "GC104", "rnn", model)
    rnn = model["rnn"]
    for gate in rnn.get_parameter("weight_hh_l0").view(-1, 8, 8):
        torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
    if kind is nn.LSTM:
        assert (rnn.get_parameter("bias_ih_l0")[8:16] == 1).all()


def test_a_gated_cell_is_a_drop_in() -> None:
    model = nn.ModuleDict({"rnn": nn.RNN(3, 8, num_layers=2, batch_first=True, bidirectional=True)})
    x = torch.randn(2, 5, 3)
    before = [tensor.shape for tensor in model["rnn"](x)]
    apply("gated-cell", "GC104", "rnn", model)
    assert isinstance(model["rnn"], nn.GRU)
    assert [tensor.shape for tensor in model["rnn"](x)] == before


def test_a_gated_cell_for_a_cell() -> None:
    model = nn.ModuleDict({"cell": nn.RNNCell(3, 8)})
    apply("gated-cell", "GC203", "cell", model)
    assert model["cell"](torch.randn(2, 3), torch.randn(2, 8)).shape == (2, 8)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM])
def test_truncated_back_propagation_runs_over_all_chunks(kind: type[nn.RNN | nn.LSTM]) -> None:
    model = nn.ModuleDict({"rnn": kind(3, 8, batch_first=True)})
    names = apply("truncated-bptt", "GC203", "rnn", model, {"x": torch.randn(2, 50, 3)})
    assert names["y"].shape == (2, 10, 8)
    state = names["state"] if kind is nn.RNN else names["state"][0]
    assert not state.requires_grad


def _training() -> tuple[nn.Sequential, dict[str, Any]]:
    model = deep(nn.ReLU, depth=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    return model, {"optimizer": optimizer, "loss": (1e4 * model(X)).square().mean(), "x": X}


def test_clipping_bounds_the_norm() -> None:
    model, given = _training()
    before = [parameter.clone() for parameter in model.parameters()]
    apply("clip-gradients", "GC203", "0", model, given)
    step = torch.cat([(a - b).flatten() for a, b in zip(before, model.parameters(), strict=True)]).norm()
    assert step.item() == pytest.approx(0.5, rel=1e-3)


def test_loss_scaling_steps() -> None:
    model, given = _training()
    before = model.get_parameter("0.weight").clone()
    apply("loss-scaling", "GC105", "0", model, given)
    assert not torch.equal(before, model.get_parameter("0.weight"))
    apply("loss-scaling", "GC206", "0", model, cause="dtype")
    assert model.get_parameter("0.weight").dtype is torch.bfloat16


def test_weight_decay_and_learning_rate_change_the_optimiser() -> None:
    model, given = _training()
    apply("weight-decay", "GC201", "2", model, given)
    assert given["optimizer"].param_groups[0]["weight_decay"] == 1e-4
    report = (layer("0", "Linear", "weight", relative_update=35.0),)
    execute(how("learning-rate", "GC208", "0", report), model, **given)
    assert given["optimizer"].param_groups[0]["initial_lr"] == pytest.approx(0.5e-4)


def test_input_is_normalised() -> None:
    model, given = _training()
    given["x"] = 255 * torch.rand(100, 4)
    x = apply("normalise-input", "GC301", "1", model, given)["x"]
    torch.testing.assert_close(x.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(4), atol=1e-4, rtol=0)


def test_smaller_batches() -> None:
    dataset = torch.utils.data.TensorDataset(X)
    assert (
        len(next(iter(apply("smaller-batches", "GC208", "0", deep(nn.ReLU), {"dataset": dataset})["loader"]))[0]) == 8
    )


@pytest.mark.parametrize(
    ("operation", "value"),
    [("round", torch.round), ("aten::floor.default", torch.floor), ("torch.sign", torch.sign)],
)
def test_straight_through_keeps_the_value_and_passes_the_gradient(operation: str, value: Any) -> None:
    z = torch.randn(5, requires_grad=True)
    y = apply("reattach", "GC302", "0", deep(nn.ReLU), {"z": z}, operation=operation)["y"]
    torch.testing.assert_close(y, value(z))
    y.sum().backward()
    assert torch.equal(z.grad, torch.ones(5))  # type: ignore[arg-type]


def test_a_choice_stays_one_hot_and_differentiable() -> None:
    z = torch.randn(6, 4, requires_grad=True)
    y = apply("reattach", "GC302", "0", deep(nn.ReLU), {"z": z}, operation="argmax")["y"]
    assert torch.equal(y.detach().max(1).values, torch.ones(6))
    y[:, 0].sum().backward()
    assert z.grad is not None
    assert z.grad.any()


@pytest.mark.parametrize("operation", ["detach", "no_grad", "Tensor.detach_", ""])
def test_the_path_is_open_again(operation: str) -> None:
    model = deep(nn.ReLU)
    y = apply("reattach", "GC302", "0", model, {"x": X}, operation=operation, where="en\ncoder")["y"]
    y.sum().backward()
    assert gradient(model, "0.weight").any()


def test_unused_and_frozen_modules_are_reached() -> None:
    model = deep(nn.ReLU).requires_grad_(False)
    apply("reattach", "GC302", "0", model, operation="requires_grad")
    assert model.get_parameter("0.weight").requires_grad
    y = apply("reattach", "GC303", "0", model, {"y": X})["y"]
    assert y.requires_grad


def test_broken_weights_are_restored() -> None:
    model, healthy = deep(nn.ReLU), deep(nn.ReLU)
    nn.init.constant_(model.get_parameter("4.weight"), float("nan"))
    apply("fix-values", "GC204", "4", model, {"earlier": healthy.state_dict()})
    assert torch.equal(model.get_parameter("4.weight"), healthy.get_parameter("4.weight"))


@pytest.mark.parametrize("operation", ["log", "sqrt", "rsqrt", "reciprocal", "norm", "pow", "aten::exp"])
def test_guards_keep_value_and_gradient_finite(operation: str) -> None:
    x = torch.tensor([[0.0, 0.0], [1e3, 1e3]], requires_grad=True)
    y = apply("fix-values", "GC205", "0", deep(nn.ReLU), {"x": x, "p": 0.5}, operation=operation)["y"]
    assert y.isfinite().all()
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.isfinite().all()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_without_a_known_operation_the_code_finds_it() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    apply("fix-values", "GC205", "0", model, {"x": X})
    nn.init.constant_(model.get_parameter("0.weight"), float("nan"))
    with pytest.raises(AssertionError):
        apply("fix-values", "GC205", "0", model, {"x": X / 0.0})
