"""Small nets that were really trained, well or badly, on scikit-learn's data.

What makes the label: a net that learned (its training accuracy is checked when it is built) is healthy; what went wrong is
verified from the weights and activations alone: non-finite parameters, units that are off for every sample.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F

from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case, Optimizer, Problem, problem
from .nets import plain, untouched

Make = Callable[[int, int], nn.Module]

STEPPERS: dict[Optimizer, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


@cache
def table(name: str) -> tuple[Tensor, Tensor]:
    """(inputs, classes), standardised."""
    if name == "digits":
        found = datasets.load_digits()
        return torch.tensor(found.data / 16.0, dtype=torch.float32), torch.tensor(found.target)
    if name == "circles":
        points, goal = datasets.make_circles(400, noise=0.05, factor=0.5, random_state=0)
        return torch.tensor(points, dtype=torch.float32), torch.tensor(goal)
    found = datasets.load_breast_cancer()
    inputs = torch.tensor(found.data, dtype=torch.float32)
    return (inputs - inputs.mean(0)) / inputs.std(0), torch.tensor(found.target)


def train(net: nn.Module, name: str, optimizer: Optimizer, lr: float, steps: int, batch: int = 64) -> float:
    """Minibatch training; gives the accuracy on the training data."""
    inputs, goal = table(name)
    stepper = STEPPERS[optimizer](net.parameters(), lr=lr)
    for _ in range(steps):
        chosen = torch.randint(0, len(inputs), (batch,))
        stepper.zero_grad()
        F.cross_entropy(net(inputs[chosen]), goal[chosen]).backward()  # type: ignore[no-untyped-call]
        stepper.step()
    net.zero_grad(set_to_none=True)
    with torch.no_grad():
        return float((net(inputs).argmax(1) == goal).float().mean())


def sampled(net: nn.Module, name: str) -> Problem:
    """A net with 256 rows of a table, in batches of 64, and cross-entropy."""
    inputs, goal = table(name)
    order = torch.randperm(len(inputs))[:256]
    parts = torch.split(order, 64)
    return problem(
        net,
        *(inputs[p] for p in parts),
        targets=[goal[p] for p in parts],
        loss=F.cross_entropy,
        loss_name="cross-entropy",
    )


SHAPES = {"digits": (64, 10), "circles": (2, 2), "cancer": (30, 2)}


class DigitsCNN(nn.Module):
    """Two convolutions on 8×8 digits."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64) → (B, 10)."""
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(x.view(-1, 1, 8, 8)))), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        out: Tensor = self.fc(x.flatten(1))
        return out


NETS: dict[str, Make] = {
    "relu2": lambda i, o: plain(2, 64, inputs=i, outputs=o),
    "relu4-default": lambda i, o: plain(4, 64, inputs=i, outputs=o, initialise=untouched),
    "relu8-he": lambda i, o: plain(8, 64, inputs=i, outputs=o),
    "tanh3": lambda i, o: plain(3, 32, nn.Tanh, inputs=i, outputs=o, initialise=untouched),
    "sigmoid1": lambda i, o: plain(1, 32, nn.Sigmoid, inputs=i, outputs=o, initialise=untouched),
    "gelu4-ln": lambda i, o: plain(4, 48, nn.GELU, inputs=i, outputs=o, norm=nn.LayerNorm),
    "relu6-bn": lambda i, o: plain(6, 48, inputs=i, outputs=o, norm=nn.BatchNorm1d),
    "cnn": lambda _i, _o: DigitsCNN(False),
    "cnn-bn": lambda _i, _o: DigitsCNN(True),
}


def _learned(net: str, name: str, optimizer: Optimizer, lr: float, steps: int) -> Callable[[], Problem]:
    def build() -> Problem:
        made = NETS[net](*SHAPES[name])
        accuracy = train(made, name, optimizer, lr, steps)
        if accuracy < 0.85:
            raise AssertionError(f"{net} on {name} reached only {accuracy:.2f}: the label does not hold")
        return sampled(made, name)

    return build


def dead_share(net: nn.Module, name: str) -> float:
    """The largest share, over ReLU layers, of units that are off for every sample of the data. Reads activations alone."""
    shares: list[float] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: shares.append(float((out <= 0).all(0).float().mean())))
        for module in net.modules()
        if isinstance(module, nn.ReLU)
    ]
    with torch.no_grad():
        net(table(name)[0])
    for hook in hooks:
        hook.remove()
    return max(shares, default=0.0)


def _killed(depth: int, lr: float) -> Callable[[], Problem]:
    """A few good steps, then one step with a learning rate far too high."""

    def build() -> Problem:
        net = plain(depth, 64, inputs=64, outputs=10)
        train(net, "digits", "sgd", 0.05, 30)
        for spike in (lr, 2 * lr, 4 * lr, 8 * lr):
            train(net, "digits", "sgd", spike, 1)
            if not all(bool(p.isfinite().all()) for p in net.parameters()):
                raise AssertionError("not finite: the label does not hold")
            if dead_share(net, "digits") >= 0.6:
                return sampled(net, "digits")
        raise AssertionError(f"only {dead_share(net, 'digits'):.0%} of any layer died: the label does not hold")

    return build


def _diverged(net: str, name: str, optimizer: Optimizer, lr: float) -> Callable[[], Problem]:
    def build() -> Problem:
        made = NETS[net](*SHAPES[name])
        train(made, name, optimizer, lr, 60)
        if all(bool(p.isfinite().all()) for p in made.parameters()):
            raise AssertionError("still finite: the label does not hold")
        return sampled(made, name)

    return build


def _did_not_learn(depth: int, name: str, kind: Callable[[], nn.Module]) -> Callable[[], Problem]:
    def build() -> Problem:
        inputs, outputs = SHAPES[name]
        made = plain(depth, 32, kind, inputs=inputs, outputs=outputs, initialise=untouched)
        first = made.get_parameter("linear0.weight").detach().clone()
        train(made, name, "sgd", 0.1, 150)
        moved = float((made.get_parameter("linear0.weight").detach() - first).norm() / first.norm())
        if moved > 1e-4:
            raise AssertionError(f"its first layer moved by {moved:.1e}: the label does not hold")
        return sampled(made, name)

    return build


def cases() -> list[Case]:
    """All of the family."""
    found = []
    learning: tuple[tuple[str, str, Optimizer, float, int], ...] = (
        ("relu2", "digits", "sgd", 0.1, 400),
        ("relu2", "digits", "adam", 3e-3, 300),
        ("relu4-default", "digits", "adam", 3e-3, 300),
        ("relu8-he", "digits", "adam", 1e-3, 300),
        ("tanh3", "digits", "adam", 3e-3, 300),
        ("tanh3", "digits", "sgd", 0.2, 500),
        ("sigmoid1", "digits", "adam", 1e-2, 300),
        ("gelu4-ln", "digits", "adam", 2e-3, 300),
        ("relu6-bn", "digits", "adam", 2e-3, 300),
        ("relu6-bn", "digits", "sgd", 0.1, 300),
        ("cnn", "digits", "adam", 5e-3, 300),
        ("cnn-bn", "digits", "adam", 5e-3, 300),
        ("relu2", "cancer", "sgd", 0.1, 200),
        ("relu4-default", "cancer", "adam", 3e-3, 200),
        ("sigmoid1", "cancer", "sgd", 0.5, 300),
        ("gelu4-ln", "cancer", "adam", 1e-3, 200),
        ("relu2", "circles", "adam", 1e-2, 200),
        ("relu4-default", "circles", "adam", 5e-3, 300),
        ("tanh3", "circles", "adam", 1e-2, 300),
        ("relu6-bn", "circles", "sgd", 0.1, 300),
    )
    for net, name, optimizer, lr, steps in learning:
        why = f"{steps} steps of {optimizer} took its accuracy above 85 %"
        found.append(
            Case(
                f"trained/{net}-{name}-{optimizer}", "measured", _learned(net, name, optimizer, lr, steps), HEALTHY, why
            )
        )
    for net, name, lr in (
        ("relu4-default", "digits", 1e6),
        ("relu8-he", "digits", 300.0),
        ("relu2", "digits", 1e4),
        ("relu2", "cancer", 1e8),
    ):
        found.append(
            Case(
                f"trained/{net}-{name}-diverged",
                "measured",
                _diverged(net, name, "sgd", lr),
                EXPLODING,
                "its parameters are NaN or infinite",
            )
        )
    for depth, lr in ((2, 5.0), (3, 3.0), (4, 2.0), (6, 2.0)):
        found.append(
            Case(
                f"trained/relu{depth}-digits-spike",
                "measured",
                _killed(depth, lr),
                DEAD,
                "a spike of the learning rate turned 60 % of a layer off for every sample",
            )
        )
    for depth, name in ((8, "circles"), (10, "digits"), (12, "cancer")):
        found.append(
            Case(
                f"trained/sigmoid{depth}-{name}-did-not-learn",
                "measured",
                _did_not_learn(depth, name, nn.Sigmoid),
                VANISHING,
                "after 150 steps its first layer has moved by less than 1e-4 of its norm",
            )
        )
    return found
