"""Gates and branches that are shut for good, beside gates that are merely cautious.

A gate whose own slope is gone (σ'(−50) = 2e-22) does not open: nothing tells it to. One at bias −3 or +5 does.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .cases import DEAD, HEALTHY, VANISHING, Case, Problem, problem
from .nets import data, plain
from .surgery import after, bias, broken


class Stack(nn.Module):
    """Blocks in a `ModuleList`; `used` of them run."""

    def __init__(self, used: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(20, 20), nn.ReLU()) for _ in range(4))
        self.head = nn.Linear(20, 5)
        self.used = used

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        for block in list(self.blocks)[: self.used]:
            x = x + block(x)
        out: Tensor = self.head(x)
        return out


def _all_gates(value: float) -> Callable[[nn.Module], None]:
    def fault(net: nn.Module) -> None:
        for name, parameter in net.named_parameters():
            if name.endswith("gate.bias"):
                nn.init.constant_(parameter, value)

    return fault


def _lstm_gate(block: int, value: float) -> Callable[[nn.Module], None]:
    """`block` 0 … 3: input, forget, cell, output."""

    def fault(net: nn.Module) -> None:
        for name, parameter in net.named_parameters():
            if "bias_ih" in name:
                parameter.data.chunk(4)[block].fill_(value)

    return fault


def _shrink(x: Tensor) -> Tensor:
    return x * 1e-8


def _constants() -> list[Case]:
    why = "a constant shuts the branch for ever: no parameter opens it, its layers hear 1e-8"
    found = []
    for net, last, first, trunk in (
        ("vit", "blocks.1.mlp.2", "blocks.1.mlp.0", "patch_embed"),
        ("llama", "layers.1.o_proj", "layers.1.v_proj", "embed_tokens"),
        ("llama", "layers.1.down_proj", "layers.1.up_proj", "embed_tokens"),
        ("resnet", "layer2.1.bn2", "layer2.1.conv1", "conv1"),
        ("mlp_mixer", "blocks.1.mix_tokens.2", "blocks.1.mix_tokens.0", "stem"),
        ("preact_resnet", "layer2.1.conv2", "layer2.1.conv1", "conv1"),
    ):
        layers = {first: VANISHING, trunk: HEALTHY}
        found.append(
            Case(
                f"injected/{net}-{last}-times1e-8-inside",
                "construction",
                broken(net, after(last, _shrink)),
                VANISHING,
                why,
                (),
                layers,
            )
        )
    return found


def _shut() -> list[Case]:
    stuck = "σ(−50) lets 2e-22 through, and its own slope is as small: it never opens"
    cautious = "a gate at −3 lets 5 % through and has 18 % of its largest slope"
    return [
        Case(
            "injected/highway-gates-shut",
            "construction",
            broken("highway", _all_gates(-50.0)),
            VANISHING,
            stuck,
            (),
            {"4.transform": VANISHING, "0": HEALTHY, "9": HEALTHY},
        ),
        Case(
            "injected/highway-gates-cautious",
            "practice",
            broken("highway", _all_gates(-3.0)),
            HEALTHY,
            "Srivastava 2015 starts them there",
        ),
        Case(
            "injected/squeeze-gate-shut",
            "construction",
            broken("squeeze_excite", bias("4.se.fc2", -50.0)),
            VANISHING,
            stuck,
        ),
        Case(
            "injected/squeeze-gate-cautious",
            "practice",
            broken("squeeze_excite", bias("4.se.fc2", -3.0)),
            HEALTHY,
            cautious,
        ),
        Case(
            "injected/mobilenet-gate-open",
            "practice",
            broken("mobilenet", bias("4.block.6.fc2", 2.0)),
            HEALTHY,
            "an open gate passes nearly all",
        ),
        # Labelled healthy at first, wrongly: a hard sigmoid's slope beyond 3 is exactly 0, its own weights never move.
        Case(
            "injected/mobilenet-gate-stuck-open",
            "theory",
            broken("mobilenet", bias("4.block.6.fc2", 5.0)),
            DEAD,
            "a hard sigmoid's slope beyond 3 is exactly 0 on everything",
            ("4.block.6.fc2", "4.block.6.scale"),
        ),
        Case(
            "injected/lstm-output-gate-shut",
            "construction",
            broken("lstm_classifier", _lstm_gate(3, -50.0)),
            VANISHING,
            stuck,
            ("lstm",),
        ),
        Case(
            "injected/lstm-input-gate-shut",
            "construction",
            broken("lstm_classifier", _lstm_gate(0, -50.0)),
            VANISHING,
            stuck,
            ("lstm",),
        ),
        Case(
            "injected/lstm-forget-gate-5",
            "practice",
            broken("lstm_classifier", _lstm_gate(1, 5.0)),
            HEALTHY,
            "remembers; saturated gates are a decision",
        ),
        Case(
            "injected/modulelist-one-short",
            "construction",
            lambda: problem(Stack(3), data()),
            DEAD,
            "range(n - 1): the last block never runs on any input",
            ("blocks.3.0",),
        ),
        Case("injected/modulelist-whole", "construction", lambda: problem(Stack(4), data()), HEALTHY, "all blocks run"),
        Case(
            "injected/sequential-index-skipped",
            "construction",
            _skipping,
            DEAD,
            "forward calls the parts of a Sequential by number and forgets one",
            ("parts.linear2",),
        ),
    ]


class Skipping(nn.Module):
    """Calls the children of a Sequential itself and leaves one linear layer out."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = plain(4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 20) → (B, 5)."""
        for name, part in self.parts.named_children():
            if name != "linear2":
                x = part(x)
        return x


def _skipping() -> Problem:
    return problem(Skipping(), data())


def cases() -> list[Case]:
    """All of the family's gates."""
    return [*_constants(), *_shut()]
