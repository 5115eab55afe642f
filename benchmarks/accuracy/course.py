"""What training at a given optimiser and rate does: diverging, jumping, growing, shrinking, dying, slow, and healthy twins.

Two kinds of truth. Theory: on a linear layer with squared error, gradient descent multiplies the error along the steepest
direction by |1 − lr·λ| a step, λ the largest eigenvalue of the Hessian (with momentum β it is stable up to 2(1 + β)/λ), and
a penalty c/2·‖W‖² multiplies the weights by 1 − lr·c. Symptom: an independent run on a copy, longer than any
rehearsal, shows the symptom by the loss, the weights and the zeros alone; a case in which it does not cannot be built.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case, Optimizer, Problem, problem
from .nets import plain, scaled
from .trained import NETS, SHAPES, STEPPERS, dead_share, sampled, table, train

LONG = 100
"""Steps of an independent run: five times a rehearsal's."""


@dataclass(frozen=True)
class Run:
    """An independent run over a problem's batches in turn."""

    net: nn.Module
    losses: list[float]
    """Of each step's batch, before the step; ends where it is not finite."""
    batches: int

    @property
    def ending(self) -> float:
        """Mean of the last visit of every batch; infinite where the run ended early."""
        last = self.losses[-self.batches :]
        return sum(last) / len(last) if all(map(math.isfinite, last)) else math.inf

    @property
    def beginning(self) -> float:
        """Of the first batch, before the first step."""
        return self.losses[0]

    @property
    def jumps(self) -> float:
        """Share of visits on which a batch's loss is half as large again as on its visit before."""
        pairs = [(a, b) for start in range(self.batches) for a, b in pairwise(self.losses[start :: self.batches])]
        return sum(b > 1.5 * a for a, b in pairs) / len(pairs) if pairs else 0.0


def run(case: Problem, steps: int = LONG) -> Run:
    """Train a copy as the problem says."""
    net = copy.deepcopy(case.module)
    assert case.loss is not None
    assert case.targets is not None
    assert case.lr is not None
    stepper = STEPPERS[case.optimizer](net.parameters(), lr=case.lr)
    losses: list[float] = []
    for inputs, target in islice(cycle(zip(case.batches, case.targets, strict=True)), steps):
        stepper.zero_grad()
        loss = case.loss(net(*inputs), target)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        loss.backward()  # type: ignore[no-untyped-call]
        stepper.step()
    return Run(net, losses, len(case.batches))


class DoesNotHold(AssertionError):
    """The independent run does not show the symptom."""


def _insist(holds: bool, what: str) -> None:
    if not holds:
        raise DoesNotHold(f"{what}: the label does not hold")


def drawn(build: Callable[[], Problem], draws: int = 8) -> Callable[[], Problem]:
    """Draw again until the independent run shows what the label says."""

    def again() -> Problem:
        for _ in range(draws - 1):
            with contextlib.suppress(DoesNotHold):
                return build()
        return build()

    return again


# ------------------------------------------------------------------------------------------------------ theory: linear


class Ridge(nn.Module):
    """A linear map, and c/2·‖W‖² of its weights as a second output that its loss adds."""

    def __init__(self, penalty: float) -> None:
        super().__init__()
        self.first = scaled(nn.Linear(12, 12, bias=False), 1.0)
        self.head = scaled(nn.Linear(12, 4, bias=False), 1.0)
        self.penalty = penalty

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 12) → (B, 4) and a scalar."""
        weight = sum(parameter.square().sum() for parameter in self.parameters())
        return self.head(self.first(x)), torch.as_tensor(0.5 * self.penalty * weight)


def _only_penalty(out: tuple[Tensor, Tensor], _target: Tensor) -> Tensor:
    """What the net says does not count, so the weights follow W ← (1 − lr·c) W exactly."""
    return out[1] + 0.0 * out[0].sum()


def _penalised(step: float) -> Callable[[], Problem]:
    """lr·c = `step`, negative for growth."""

    def build() -> Problem:
        x = torch.randn(64, 12)
        return problem(Ridge(step / 0.1), x, targets=[torch.zeros(64, 4)], loss=_only_penalty, loss_name="own", lr=0.1)

    return build


def _quadratic(times: float, optimizer: Optimizer = "sgd", batches: int = 1) -> Callable[[], Problem]:
    """Linear regression with lr = `times`/λ."""

    def build() -> Problem:
        net = nn.Sequential(scaled(nn.Linear(16, 4, bias=False), 1.0))
        x = torch.randn(64 * batches, 16)
        goal = x @ torch.randn(16, 4) / 4 + 0.1 * torch.randn(64 * batches, 4)
        hessian = 2 * x.T @ x / (x.shape[0] * 4)  # mse averages over the four outputs too
        lr = times / float(torch.linalg.eigvalsh(hessian)[-1])
        return problem(
            net,
            *torch.split(x, 64),
            targets=torch.split(goal, 64),
            loss=F.mse_loss,
            loss_name="mse",
            lr=lr,
            optimizer=optimizer,
        )

    return build


def _linear() -> list[Case]:
    found = []
    for times in (3.0, 4.0, 6.0, 20.0):
        why = f"lr = {times:g}/λ: the error grows by {times - 1:g} a step"
        found.append(Case(f"course/linear-sgd-{times:g}", "theory", _quadratic(times), EXPLODING, why, ("0",)))
    for times in (6.0, 10.0, 40.0):
        why = f"lr = {times:g}/λ is beyond 3.8/λ, up to which momentum of 0.9 is stable"
        build = _quadratic(times, "momentum")
        found.append(Case(f"course/linear-momentum-{times:g}", "theory", build, EXPLODING, why, ("0",)))
    for times in (0.1, 0.5, 1.0, 1.5):
        why = f"lr = {times:g}/λ: the error shrinks at every step"
        found.append(Case(f"course/linear-sgd-{times:g}", "theory", _quadratic(times), HEALTHY, why))
    why = "lr = 0.3/λ is far inside the stable range, whichever batch comes"
    found += [
        Case("course/linear-sgd-batches", "theory", _quadratic(0.3, batches=4), HEALTHY, why),
        Case("course/linear-momentum-0.3", "theory", _quadratic(0.3, "momentum"), HEALTHY, why),
    ]
    for step, verdict in ((0.2, VANISHING), (0.3, VANISHING), (0.01, HEALTHY), (0.001, HEALTHY)):
        why = f"weights × {1 - step:g} a step: {(1 - step) ** 20:.2g} over 20"
        found.append(Case(f"course/decay-{step:g}", "theory", _penalised(step), verdict, why))
    for step, verdict in ((-0.3, EXPLODING), (-0.6, EXPLODING), (-0.001, HEALTHY)):
        why = f"weights × {1 - step:g} a step: {(1 - step) ** 20:.2g} over 20"
        found.append(Case(f"course/growth{-step:g}", "theory", _penalised(step), verdict, why))
    return found


# --------------------------------------------------------------------------------------------- symptoms of longer runs


def _regression(optimizer: Optimizer, lr: float, activation: Callable[[], nn.Module], depth: int = 3) -> Problem:
    net = plain(depth, 32, activation, inputs=30, outputs=1)
    inputs, goal = table("cancer")
    x, y = inputs[:256], goal[:256].float()[:, None]
    return problem(
        net,
        *torch.split(x, 64),
        targets=torch.split(y, 64),
        loss=F.mse_loss,
        loss_name="mse",
        lr=lr,
        optimizer=optimizer,
    )


def _diverging(optimizer: Optimizer, lr: float, activation: Callable[[], nn.Module]) -> Callable[[], Problem]:
    def build() -> Problem:
        made = _regression(optimizer, lr, activation)
        ran = run(made)
        _insist(ran.ending > 100 * ran.beginning, f"the loss went from {ran.beginning:.2g} to {ran.ending:.2g}")
        return made

    return build


def _overflowing(optimizer: Optimizer, lr: float, activation: Callable[[], nn.Module]) -> Callable[[], Problem]:
    def build() -> Problem:
        made = _regression(optimizer, lr, activation)
        _insist(not math.isfinite(run(made, 20).losses[-1]), "its loss stays finite")
        return made

    return build


def _classifier(net: str, name: str, optimizer: Optimizer, lr: float) -> Problem:
    made = sampled(NETS[net](*SHAPES[name]), name)
    return Problem(made.module, made.batches, made.targets, made.loss, made.loss_name, lr, optimizer)


def _learning(net: str, name: str, optimizer: Optimizer, lr: float) -> Callable[[], Problem]:
    """Usual rates: three hundred steps at them reach 85 %."""

    def build() -> Problem:
        made = _classifier(net, name, optimizer, lr)
        accuracy = train(copy.deepcopy(made.module), name, optimizer, lr, 300)
        _insist(accuracy >= 0.85, f"{accuracy:.2f} reached")
        return made

    return build


def _slow(net: str, name: str, optimizer: Optimizer, lr: float) -> Callable[[], Problem]:
    def build() -> Problem:
        made = _classifier(net, name, optimizer, lr)
        ran = run(made)
        gained = abs(ran.losses[0] - ran.losses[-ran.batches]) / ran.losses[0]  # two visits of one batch
        _insist(gained < 1e-4, f"{LONG} steps change the loss by {gained:.1g}")
        return made

    return build


def _jumping(net: str, name: str, optimizer: Optimizer, lr: float) -> Callable[[], Problem]:
    """Batches jump on a quarter of their first visits, go on jumping, and the loss is no lower in the end, though finite."""

    def build() -> Problem:
        made = _classifier(net, name, optimizer, lr)
        first, ran = run(made, 20), run(made)
        _insist(
            first.jumps >= 0.25 and ran.jumps >= 0.15, f"{first.jumps:.2f}, then {ran.jumps:.2f} of the visits jump"
        )
        _insist(ran.beginning <= ran.ending < math.inf, f"the loss went from {ran.beginning:.2g} to {ran.ending:.2g}")
        return made

    return build


def _dying(depth: int, optimizer: Optimizer, rates: tuple[float, ...]) -> Callable[[], Problem]:
    """The first rate at which 70 % of a layer is off within 20 steps, and still so after a hundred."""

    def build() -> Problem:
        net = plain(depth, 48, inputs=64, outputs=10)
        start = sampled(net, "digits")
        _insist(dead_share(net, "digits") < 0.2, "many are dead at the start")
        for lr in rates:
            made = Problem(net, start.batches, start.targets, start.loss, start.loss_name, lr, optimizer)
            runs = [run(made, steps) for steps in (20, LONG)]
            if all(r.ending < math.inf and dead_share(r.net, "digits") >= 0.7 for r in runs):
                return made
        raise DoesNotHold("no rate kills: the label does not hold")

    return build


def _converged(net: str, name: str, optimizer: Optimizer, lr: float) -> Callable[[], Problem]:
    """Trained until the sample is fitted, then rehearsed with a fresh optimiser at the rate that trained it."""

    def build() -> Problem:
        made = sampled(NETS[net](*SHAPES[name]), name)
        ran = run(Problem(made.module, made.batches, made.targets, made.loss, made.loss_name, lr, optimizer), 500)
        _insist(ran.ending < 0.05, f"its loss is {ran.ending:.2g}")
        again = Problem(ran.net, made.batches, made.targets, made.loss, made.loss_name, lr, optimizer)
        after = run(again)
        _insist(after.ending < 0.1, f"going on with it takes the loss to {after.ending:.2g}")
        return again

    return build


def _symptom(name: str, build: Callable[[], Problem], verdict: str, why: str) -> Case:
    return Case(f"course/{name}", "symptom", drawn(build), verdict, why)


Setting = tuple[str, str, Optimizer, float]
"""Net and data of `trained`, optimiser, rate."""

SHORT: tuple[tuple[Optimizer, float], ...] = (("sgd", 3.0), ("momentum", 1.0), ("adam", 10.0))
DEADLY: tuple[tuple[int, Optimizer], ...] = (
    (2, "sgd"),
    (3, "sgd"),
    (4, "sgd"),
    (3, "momentum"),
    (3, "adam"),
    (4, "adam"),
)
JUMPING = (
    ("tanh3", "digits", 2.0),
    ("tanh3", "digits", 4.0),
    ("tanh3", "digits", 8.0),
    ("tanh3", "cancer", 8.0),
    ("tanh3", "cancer", 16.0),
)
SLOW: tuple[Setting, ...] = (
    ("relu2", "digits", "sgd", 1e-8),
    ("tanh3", "cancer", "sgd", 1e-8),
    ("cnn", "digits", "momentum", 1e-9),
    ("gelu4-ln", "digits", "adam", 1e-9),
    ("relu2", "circles", "adamw", 1e-9),
)
USUAL: tuple[Setting, ...] = (
    ("relu2", "digits", "sgd", 0.1),
    ("relu4-default", "digits", "adam", 3e-3),
    ("relu8-he", "digits", "adam", 1e-3),
    ("tanh3", "digits", "momentum", 0.05),
    ("gelu4-ln", "digits", "adamw", 2e-3),
    ("relu6-bn", "digits", "sgd", 0.1),
    ("relu6-bn", "cancer", "momentum", 0.02),
    ("cnn", "digits", "adam", 5e-3),
    ("cnn-bn", "digits", "momentum", 0.05),
    ("relu2", "cancer", "sgd", 0.1),
    ("sigmoid1", "cancer", "adam", 1e-2),
    ("relu2", "circles", "adam", 1e-2),
)
FITTED: tuple[Setting, ...] = (
    ("relu2", "digits", "adam", 2e-3),
    ("tanh3", "digits", "adam", 2e-3),
    ("gelu4-ln", "digits", "adamw", 1e-3),
    ("relu6-bn", "digits", "adam", 2e-3),
    ("cnn", "digits", "adam", 5e-3),
    ("relu4-default", "cancer", "adam", 2e-3),
    ("relu2", "digits", "momentum", 0.05),
)


def _ill() -> list[Case]:
    deadly = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0)
    cannot_die: dict[str, Callable[[], nn.Module]] = {"prelu": nn.PReLU, "leaky": lambda: nn.LeakyReLU(0.2)}
    found = []
    for name, kind in cannot_die.items():
        for optimizer, lr in SHORT:
            why = f"a hundred steps of {optimizer} at {lr:g} take its loss to more than a hundred times what it was"
            found.append(_symptom(f"{name}-{optimizer}-diverges", _diverging(optimizer, lr, kind), EXPLODING, why))
    for optimizer, _ in SHORT[:2]:
        why = "its loss becomes NaN or infinite; that units die on the way there is a consequence"
        build = _overflowing(optimizer, 3.0, nn.Softplus)
        found.append(_symptom(f"softplus-{optimizer}-overflows", build, EXPLODING, why))
    for net, data, lr in JUMPING:
        why = "batches jump on a quarter of their first visits and the loss is no lower after a hundred steps"
        found.append(_symptom(f"{net}-{data}-jumps-{lr:g}", _jumping(net, data, "sgd", lr), EXPLODING, why))
    for depth, optimizer in DEADLY:
        rates = tuple(rate / 10 for rate in deadly) if optimizer == "adam" else deadly
        why = "70 % of a layer is off on all data within 20 steps, and still after a hundred"
        found.append(_symptom(f"relu{depth}-{optimizer}-dying", _dying(depth, optimizer, rates), DEAD, why))
    for net, data, optimizer, lr in SLOW:
        why = f"a hundred steps at {lr:g} change its loss by less than a ten-thousandth"
        build = _slow(net, data, optimizer, lr)
        found.append(_symptom(f"{net}-{data}-{optimizer}-slow", build, VANISHING, why))
    return found


def _well() -> list[Case]:
    found = []
    for net, data, optimizer, lr in USUAL:
        why = f"300 steps of {optimizer} at {lr:g} reach 85 %"
        build = _learning(net, data, optimizer, lr)
        found.append(_symptom(f"{net}-{data}-{optimizer}-learns", build, HEALTHY, why))
    for net, data, optimizer, lr in FITTED:
        why = "its sample is fitted, and going on leaves it fitted"
        build = _converged(net, data, optimizer, lr)
        found.append(_symptom(f"{net}-{data}-{optimizer}-converged", build, HEALTHY, why))
    return found


def cases() -> list[Case]:
    """All of the family."""
    return [*_linear(), *_ill(), *_well()]
