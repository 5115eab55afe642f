"""A known path of a healthy net, broken on purpose."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case, Problem, problem
from .nets import data, plain
from .surgery import CUTS, Apply, after, broken, fill

Change = Callable[[Tensor], Tensor]


def _inserted(change: Change, behind: str = "act2", depth: int = 5) -> Callable[[], Problem]:
    """A module that does one call, named ``extra``, in an MLP."""

    def build() -> Problem:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for name, module in plain(depth).named_children():
            layers[name] = module
            if name == behind:
                layers["extra"] = Apply(change)
        return problem(nn.Sequential(layers), data())

    return build


class Forgetful(nn.Module):
    """Layers of which one is treated as `fault` says."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.first = nn.Linear(20, 32)
        second = nn.Linear(32, 32)
        if fault == "list":
            self.hidden = [second]
        else:
            self.second = second
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        x = torch.relu(self.first(x))
        if self.fault == "list":
            x = torch.relu(self.hidden[0](x))
        elif self.fault == "unused":
            torch.relu(self.second(x))
        elif self.fault == "detached-sum":
            x = x + torch.relu(self.second(x)).detach()
        out: Tensor = self.head(x)
        return out


class LowRank(nn.Module):
    """A frozen linear layer with an adapter B·A whose factors start at zero."""

    def __init__(self, zero_a: bool) -> None:
        super().__init__()
        self.base = nn.Linear(20, 32).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.zeros(4, 20) if zero_a else 0.2 * torch.randn(4, 20))
        self.lora_B = nn.Parameter(torch.zeros(32, 4))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        out: Tensor = self.head(torch.relu(self.base(x) + x @ self.lora_A.T @ self.lora_B.T))
        return out


def _all_zero(activation: Callable[[], nn.Module], constant: float = 0.0) -> Callable[[], Problem]:
    def build() -> Problem:
        net = plain(4, activation=activation)
        for parameter in net.parameters():
            nn.init.constant_(parameter, constant)
        return problem(net, data())

    return build


def _cuts() -> list[Case]:
    found = []
    for slug, change in CUTS.items():
        why = f"{slug} passes no gradient: everything in front of it stays as it is"
        names = ("extra", "linear2", "act2")
        found.append(
            Case(
                f"injected/module-{slug}",
                "construction",
                _inserted(change),
                DEAD,
                why,
                names,
                {"linear0": DEAD, "linear3": HEALTHY, "head": HEALTHY},
            )
        )
    for net, layer, slug, upstream in (
        ("resnet", "layer3.0", "detach", "conv1"),
        ("plain_cnn", "conv2", "data", "conv1"),
        ("gpt", "h.1", "no-grad", "h.0.mlp.0"),
        ("vit", "blocks.1", "round", "patch_embed"),
        ("unet", "middle", "detach", "middle.0"),
        ("mlp_mixer", "blocks.1", "sign", "stem"),
        ("lstm_cell_loop", "embedding", "detach", "embedding"),
        ("vgg_bn", "0.9", "detach", "0.0"),
        ("deep_sets", "phi.2", "argmax", "phi.0"),
    ):
        why = f"{slug} inside {layer}: {upstream} gets nothing"
        found.append(
            Case(
                f"injected/{net}-{layer}-{slug}",
                "construction",
                broken(net, after(layer, CUTS[slug])),
                DEAD,
                why,
                (),
                {upstream: DEAD},
            )
        )
    found += [
        Case(
            "injected/branch-detach",
            "construction",
            broken("gpt", after("h.1.mlp.2", CUTS["detach"])),
            DEAD,
            "the branch is cut, the trunk beside it lives",
            ("h.1.mlp.2", "h.1.mlp"),
            {"h.1.mlp.0": DEAD, "h.0.mlp.0": HEALTHY},
        ),
        Case(
            "injected/se-gate-detach",
            "construction",
            broken("squeeze_excite", after("4.se.fc2", CUTS["detach"])),
            DEAD,
            "the gate's own layers are cut, the trunk lives",
            ("4.se.fc2", "4.se"),
            {"0": HEALTHY},
        ),
        Case(
            "injected/unused",
            "construction",
            lambda: problem(Forgetful("unused"), data()),
            DEAD,
            "its result is never used",
            ("second",),
            {"first": HEALTHY},
        ),
        Case(
            "injected/never-called",
            "construction",
            lambda: problem(Forgetful("never"), data()),
            DEAD,
            "it is never called",
            ("second",),
            {"first": HEALTHY},
        ),
        Case(
            "injected/plain-list",
            "construction",
            lambda: problem(Forgetful("list"), data()),
            DEAD,
            "a list of modules: no optimiser ever sees its parameters",
            ("<unregistered>", "hidden", "hidden.0"),
        ),
        Case(
            "injected/detached-sum",
            "construction",
            lambda: problem(Forgetful("detached-sum"), data()),
            DEAD,
            "its only use is detached",
            ("second",),
            {"first": HEALTHY},
        ),
        Case(
            "injected/lora-both-zero",
            "theory",
            lambda: problem(LowRank(True), data()),
            DEAD,
            "A = B = 0: each one's gradient is the other times something",
            ("", "lora_A", "lora_B"),
        ),
        Case(
            "injected/lora-b-zero",
            "theory",
            lambda: problem(LowRank(False), data()),
            HEALTHY,
            "B = 0 alone hears A x, and opens",
        ),
        Case(
            "injected/zoo-lora-both-zero",
            "theory",
            broken("lora", fill("layers.1.attn.qkv.lora_A", 0.0)),
            DEAD,
            "A = B = 0 in one adapter",
            ("layers.1.attn.qkv",),
        ),
        Case(
            "injected/all-zero-relu",
            "theory",
            _all_zero(nn.ReLU),
            DEAD,
            "all zero: every gradient but the head's bias is zero for ever",
        ),
        Case(
            "injected/all-zero-tanh",
            "theory",
            _all_zero(nn.Tanh),
            DEAD,
            "all zero: only the head's bias moves, and that wakes nothing",
        ),
    ]
    return found


def _scaled() -> list[Case]:
    def log_of_negative(x: Tensor) -> Tensor:
        return torch.log(x - 1.0)

    return [
        Case(
            "injected/module-times1e-8",
            "construction",
            _inserted(lambda x: x * 1e-8),
            VANISHING,
            "a constant that no step changes lets 1e-8 through",
            ("extra", "linear3", "act2", "linear2"),
        ),
        Case(
            "injected/module-times1e8",
            "construction",
            _inserted(lambda x: x * 1e8),
            EXPLODING,
            "a constant that no step changes multiplies by 1e8",
            ("extra", "linear3", "act2", "linear2"),
        ),
        Case(
            "injected/cnn-conv2-times1e-8-inside",
            "construction",
            broken("plain_cnn", after("conv2", lambda x: x * 1e-8)),
            VANISHING,
            "a constant that no step changes lets 1e-8 through",
            ("conv2", "fc1", "conv2.mul"),
        ),
        Case(
            "injected/vgg-0.5-times1e8-inside",
            "construction",
            broken("vgg", after("0.5", lambda x: x * 1e8)),
            EXPLODING,
            "a constant that no step changes multiplies by 1e8",
            ("0.5", "0.7", "0.5.mul"),
        ),
        Case(
            "injected/gpt-branch-times1e-8-inside",
            "construction",
            broken("gpt", after("h.1.mlp.2", lambda x: x * 1e-8)),
            VANISHING,
            "a constant shuts the branch for ever: no gate parameter opens it",
            (),
            {"h.1.mlp.0": VANISHING, "h.0.mlp.0": HEALTHY},
        ),
        Case(
            "injected/module-log-of-negative",
            "construction",
            _inserted(log_of_negative),
            EXPLODING,
            "log of negative values is NaN",
            ("extra", "act2", "linear2", "linear3"),
        ),
        Case(
            "injected/cnn-conv2-log",
            "construction",
            broken("plain_cnn", after("conv2", torch.log)),
            EXPLODING,
            "log of negative values is NaN",
            ("conv2",),
        ),
        Case(
            "injected/sqrt-of-zero",
            "construction",
            _inserted(torch.sqrt),
            EXPLODING,
            "ReLU's zeros have an infinite slope under sqrt: gradients are NaN",
            ("extra", "act2", "linear2", "linear3"),
        ),
    ]


def cases() -> list[Case]:
    """All of the family's paths."""
    return [*_cuts(), *_scaled()]
