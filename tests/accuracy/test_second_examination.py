"""What an independent examination showed to be wrong, each with its cured twin, through the public interface."""

# mypy: disable-error-code="no-untyped-call,assignment,operator"
# (torch leaves hooks untyped, and types the attributes of modules as a tensor or a module)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradcheck_cli as gradcheck
from gradcheck_cli.records import Diagnosis, Verdict

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(64) % 4


class Function(nn.Sequential):
    """A body, then a function of its features."""

    def __init__(self, function: Callable[[Tensor], Tensor], *body: nn.Module) -> None:
        super().__init__(*body)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """(B, 8) → whatever the function gives."""
        return self.function(super().forward(x))


def asked(module: nn.Module, target: Tensor | None = None, **options: Any) -> Diagnosis:
    torch.manual_seed(0)
    return gradcheck.diagnose(module, data=X if target is None else (X, target), **options)


def body(outputs: int, *after: nn.Module) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, outputs), *after]


@pytest.mark.parametrize(("lr", "verdict"), [(2.0, Verdict.EXPLODING), (0.01, Verdict.HEALTHY)])
def test_a_layer_with_one_output_has_a_weight_matrix_too(lr: float, verdict: Verdict) -> None:
    assert asked(nn.Sequential(nn.Linear(8, 1)), X.sum(1, keepdim=True), loss="mse", lr=lr).verdict is verdict


@pytest.mark.parametrize(("outputs", "verdict"), [(1, Verdict.DEAD), (2, Verdict.HEALTHY)])
def test_a_softmax_over_a_single_unit_is_one_whatever_it_gets(outputs: int, verdict: Verdict) -> None:
    found = asked(nn.Sequential(*body(outputs, nn.Softmax(1), nn.Linear(outputs, 4))), CLASSES)
    assert found.verdict is verdict
    assert found.culprits == (("2",) if verdict is Verdict.DEAD else ())


@pytest.mark.parametrize(
    ("function", "verdict"),
    [
        (lambda h: nn.functional.layer_norm(h, (6,)).mean(1, keepdim=True), Verdict.DEAD),
        (lambda h: nn.functional.layer_norm(h, (6,)).square().mean(1, keepdim=True), Verdict.VANISHING),
        (lambda h: nn.functional.layer_norm(h, (6,))[:, :1], Verdict.HEALTHY),
    ],
    ids=["mean", "mean-square", "one-of-them"],
)
def test_a_number_that_never_changes_is_dead_and_not_faint(
    function: Callable[[Tensor], Tensor], verdict: Verdict
) -> None:
    found = asked(Function(function, *body(6)), torch.randn(64, 1), loss="mse")
    assert found.verdict is verdict
    assert {layer.verdict for layer in found.layers if layer.name in "02"} == {verdict}


@pytest.mark.parametrize(("logit", "verdict"), [(30.0, Verdict.VANISHING), (-30.0, Verdict.HEALTHY)])
def test_a_saturated_output_is_a_fault_only_where_it_is_wrong_and_stuck(logit: float, verdict: Verdict) -> None:
    model = nn.Sequential(*body(1, nn.Sigmoid()))
    nn.init.constant_(model[2].bias, logit)  # type: ignore[arg-type]
    found = asked(model, torch.zeros(64, 1), loss="mse")
    assert found.verdict is verdict
    assert found.culprits == (("2",) if verdict is Verdict.VANISHING else ())


class Scaled(nn.Module):
    """Two branches beside a trunk, each times its row of one small parameter (ConvNeXt, CaiT)."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.branches = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(2))
        self.head, self.gamma = nn.Linear(8, 4), nn.Parameter(torch.full((2, 8), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 8) → (B, 4)."""
        for number, branch in enumerate(self.branches):
            x = x + self.gamma[number] * branch(x)
        return self.head(x)  # type: ignore[no-any-return]


def test_layer_scales_of_one_parameter_are_gates() -> None:
    found = asked(Scaled(1e-9), CLASSES, rehearse=0)
    assert found.verdict is Verdict.HEALTHY
    assert all("gated" in layer.notes for layer in found.layers if layer.name.endswith(".0"))


class Throttled(nn.Module):
    """Hooks a tensor in its forward, as gradient clipping does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 8) → (B, 4)."""
        h = torch.tanh(self.first(x))
        h.register_hook(lambda gradient: gradient.clamp(-1, 1))
        return self.second(h)  # type: ignore[no-any-return]


def test_a_hook_that_forward_registers() -> None:
    assert asked(Throttled(), CLASSES).verdict is Verdict.HEALTHY


def test_a_scripted_module_in_memory() -> None:
    scripted = torch.jit.script(nn.Sequential(*body(4)))
    assert asked(scripted, CLASSES).verdict is Verdict.HEALTHY


class Tables(nn.Module):
    """Two embeddings, of which one is asked for its padding row alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.word, self.kind = nn.Embedding(9, 8), nn.Embedding(2, 8, padding_idx=0)
        self.head = nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, S) → (B, 4)."""
        return self.head((self.word(tokens) + self.kind(torch.zeros_like(tokens))).mean(1))  # type: ignore[no-any-return]


def test_a_table_asked_for_padding_alone_is_not_reached_by_this_sample() -> None:
    found = gradcheck.diagnose(Tables(), data=torch.arange(64).reshape(16, 4) % 9, rehearse=0)
    assert found.verdict is Verdict.HEALTHY
    assert "not-reached" in next(layer.notes for layer in found.layers if layer.name == "kind")


def test_a_repeat_in_float64_asks_several_questions_of_one_batch() -> None:
    """A question to 2 samples cancels in a bias every other time; in the other precision it must cancel too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    with torch.no_grad():
        model[0].weight *= 1e-9  # so that a repeat is asked for
    found = asked(model, rehearse=0, batch_size=2, batches=4)
    assert not any("no influence" in finding.message for finding in found.findings)
