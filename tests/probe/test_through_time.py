"""Recurrent layers: the gradient per step against a product of Jacobians that is written out here."""
# mypy: disable-error-code="no-any-return,no-untyped-call,operator,union-attr"
# (torch types what modules return as Any, and their attributes as a tensor or a module)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from looking import batch_of, layer_of, look_at
from torch import Tensor, nn

from gradcheck_cli.probe import through_time as instrument
from gradcheck_cli.readings import TimeReading

HIDDEN, INPUTS, STEPS, SAMPLES = 6, 3, 9, 5


class Loop(nn.Module):
    """h ← φ(W h + U x + b), hand-written with `nn.Linear`s or a cell; the last state is read."""

    def __init__(self, activation: Callable[[Tensor], Tensor] = torch.tanh, scale: float = 0.5) -> None:
        super().__init__()
        self.recurrent = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.inlet = nn.Linear(INPUTS, HIDDEN)
        self.activation = activation
        with torch.no_grad():
            self.recurrent.weight.copy_(scale * nn.init.orthogonal_(torch.empty(HIDDEN, HIDDEN)))

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), HIDDEN)
        for part in x.unbind(1):
            h = self.activation(self.recurrent(h) + self.inlet(part))
        return h


def sequence(steps: int = STEPS) -> Tensor:
    return torch.randn(SAMPLES, steps, INPUTS)


def time_of(module: nn.Module, x: Tensor, name: str) -> TimeReading:
    found = layer_of(look_at(module, x), name).time
    assert found is not None
    return found


def asked(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The cotangents that the last step is asked with, filled in while a model is looked at."""
    draw, kept = instrument.rademacher, []  # type: ignore[attr-defined]

    def noted(tensors: list[Tensor], generator: Any) -> list[Tensor]:
        drawn = draw(tensors, generator)
        kept.extend(drawn)
        return drawn

    monkeypatch.setattr(instrument, "rademacher", noted)
    return kept


@pytest.mark.parametrize("scale", [0.3, 0.9, 1.0, 1.8])
def test_a_linear_recurrence_is_a_power_of_its_matrix(scale: float) -> None:
    """c·Q with Q orthogonal: every step back multiplies the norm by exactly c."""
    time = time_of(Loop(lambda h: h, scale), sequence(), "recurrent")
    assert time.steps == STEPS
    assert time.gain == pytest.approx(scale, rel=1e-4)
    assert time.reach == pytest.approx(scale ** (STEPS - 2), rel=1e-4)
    assert time.largest == pytest.approx(max(1.0, scale ** (STEPS - 2)), rel=1e-4)


def test_how_far_back_a_step_is_heard() -> None:
    """0.1 a step: 1, 0.1, 0.01, and what is at a thousandth no more than rounding decides."""
    time = time_of(Loop(lambda h: h, 0.11), sequence(), "recurrent")
    assert time.heard == 4
    assert time_of(Loop(lambda h: h, 1.0), sequence(), "recurrent").heard == STEPS - 1


def _tanh_by_hand(w: Tensor, inlet: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> list[float]:
    """‖gradient at W h_t‖ for every step t, the last one asked by v: g_t = D_t Wᵀ g_{t+1}, D = 1 − h²."""
    states, h = [], x.new_zeros(len(x), HIDDEN)
    for part in x.unbind(1):
        h = torch.tanh(h @ w.T + inlet(part))
        states.append(h)
    g, norms = v, [float(v.norm())]
    for h in reversed(states[:-1]):
        g = (g @ w) * (1 - h * h)
        norms.append(float(g.norm()))
    return norms[::-1]


@pytest.mark.parametrize("scale", [0.5, 1.5, 3.0])
def test_a_tanh_recurrence_against_the_jacobian_product(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, v = Loop(torch.tanh, scale), sequence(), asked(monkeypatch)
    time = time_of(net, x, "recurrent")
    with torch.no_grad():
        norms = _tanh_by_hand(net.recurrent.weight, net.inlet, x, v[0])
    assert time.reach == pytest.approx(norms[0] / norms[-2], rel=1e-4)
    assert time.gain == pytest.approx((norms[0] / norms[-2]) ** (1 / (STEPS - 2)), rel=1e-4)
    assert time.largest == pytest.approx(max(norms[:-1]) / norms[-2], rel=1e-4)
    assert time.course == pytest.approx([norm / norms[-2] for norm in norms[:-1]], rel=1e-4)


def test_a_cell_in_a_loop_reads_like_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(INPUTS, HIDDEN)

        def forward(self, x: Tensor) -> Tensor:
            h: Tensor | None = None
            for part in x.unbind(1):
                h = self.cell(part, h)
            assert h is not None
            return h

    net, x, v = Cell(), sequence(), asked(monkeypatch)
    time = time_of(net, x, "cell")
    layer = nn.RNN(INPUTS, HIDDEN, batch_first=True)
    layer.load_state_dict({f"{name}_l0": value for name, value in net.cell.state_dict().items()})
    whole = time_of(nn.Sequential(layer), x, "0")
    assert whole.steps == time.steps == STEPS
    assert whole.reach == pytest.approx(time.reach, rel=1e-3)
    with torch.no_grad():
        cell = net.cell
        norms = _tanh_by_hand(cell.weight_hh, lambda p: p @ cell.weight_ih.T + cell.bias_ih + cell.bias_hh, x, v[0])
    assert time.reach == pytest.approx(norms[0] / norms[-2], rel=1e-4)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [True, False])
def test_fused_layers_show_their_steps(kind: Callable[..., nn.Module], batch_first: bool) -> None:
    net = kind(INPUTS, HIDDEN, batch_first=batch_first)
    readings = look_at(net, sequence() if batch_first else sequence().transpose(0, 1).contiguous())
    (layer,) = readings.layers
    assert layer.time is not None
    assert layer.time.steps == STEPS
    assert 0.0 < layer.time.reach < 1.0
    assert readings.not_measured == ()


def _final(net: Any, x: Tensor) -> Tensor:
    return net(x)[0][:, -1]


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_gated_layer_decays_like_its_autograd_twin(kind: Callable[..., nn.Module]) -> None:
    """The rate per step agrees with that of ∂h_T/∂x_t: both are carried by the same product of Jacobians."""
    torch.manual_seed(2)
    net, x = kind(INPUTS, 32, batch_first=True), torch.randn(8, 40, INPUTS)
    (layer,) = look_at(net, x).layers
    assert layer.time is not None
    x.requires_grad_()
    h = _final(net, x)
    (gradient,) = torch.autograd.grad(h, x, torch.randint(0, 2, h.shape) * 2.0 - 1)
    per_step = gradient.norm(dim=(0, 2))
    rate = float((per_step[2] / per_step[-2]) ** (1 / 36))
    assert layer.time.gain == pytest.approx(rate, rel=0.05)


def test_both_directions_and_stacked_layers_are_read() -> None:
    net = nn.LSTM(INPUTS, HIDDEN, num_layers=2, bidirectional=True, batch_first=True)
    (layer,) = look_at(net, sequence()).layers
    assert layer.time is not None
    assert layer.time.steps == STEPS


def test_the_worse_direction_is_reported() -> None:
    net = nn.RNN(INPUTS, HIDDEN, bidirectional=True, batch_first=True)
    with torch.no_grad():
        net.weight_hh_l0_reverse.mul_(0.01)
    (layer,) = look_at(net, sequence()).layers
    assert layer.time is not None
    assert layer.time.gain < 0.02


def test_sequences_of_different_lengths() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(INPUTS, HIDDEN, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.gru(packed)[1][-1]

    readings = look_at(Packed(), sequence(), torch.tensor([9, 7, 9, 4, 8]))
    time = layer_of(readings, "gru").time
    assert time is not None
    assert time.steps >= 7


@pytest.mark.parametrize("steps", [1, 2])
def test_too_few_steps_say_nothing(steps: int) -> None:
    assert layer_of(look_at(Loop(), sequence(steps)), "recurrent").time is None
    assert all(
        layer.time is None for layer in look_at(nn.LSTM(INPUTS, HIDDEN, batch_first=True), sequence(steps)).layers
    )


def test_parallel_branches_of_a_shared_layer_are_no_recurrence() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.Tanh())
            self.head = nn.Linear(4 * HIDDEN, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.encoder(part) for part in x[:, :4].unbind(1)], 1))

    assert all(layer.time is None for layer in look_at(Siamese(), sequence()).layers)


def test_the_input_weight_is_no_recurrence() -> None:
    readings = look_at(Loop(), sequence())
    assert layer_of(readings, "inlet").time is None
    assert layer_of(readings, "recurrent").time is not None


def test_a_feed_forward_net_has_no_time() -> None:
    readings = look_at(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)), torch.randn(3, 4))
    assert all(layer.time is None for layer in readings.layers)


def test_extreme_rates_stay_finite() -> None:
    vanishing = time_of(Loop(lambda h: h, 1e-4), sequence(), "recurrent")
    assert vanishing.gain == pytest.approx(1e-4, rel=1e-3)
    assert vanishing.reach == pytest.approx(1e-28, rel=1e-2)
    exploding = time_of(Loop(lambda h: h, 1e4), sequence(), "recurrent")
    assert exploding.reach == pytest.approx(1e28, rel=1e-2)


def test_time_is_asked_of_the_first_batch_only_and_others_do_not_change_it() -> None:
    net, x = Loop(), sequence()
    alone = time_of(net, x, "recurrent")
    both = layer_of(look_at(net, batches=(batch_of(x), batch_of(sequence()))), "recurrent").time
    assert both == alone


def test_a_stateless_kernel_switch_is_put_back() -> None:
    before = torch.backends.mkldnn.enabled
    look_at(nn.LSTM(INPUTS, HIDDEN), sequence())
    assert torch.backends.mkldnn.enabled == before


@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.weight_norm])
def test_a_normalised_recurrent_weight_is_still_a_recurrence(wrap: Callable[..., nn.Module]) -> None:
    net = Loop()
    wrap(net.recurrent)
    assert layer_of(look_at(net, sequence()), "recurrent").time is not None
