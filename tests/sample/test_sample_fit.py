"""Whether the data fits: whose fault a failed forward is, and what the message says of both sides."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sample_subjects import Forward, draw, exported, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import ExitStatus, GradcheckError, NotCompleted, SampleError

X = torch.randn(6, 4)


def error_of(module: nn.Module, data: Any, **options: Any) -> GradcheckError:
    with pytest.raises(GradcheckError) as caught:
        draw(subject_of(module), data, **options)
    return caught.value


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * 6 * 6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, _, _, _ = x.shape
        return torch.as_tensor(self.fc(self.stem(x).view(b, -1)))


MISFITS: dict[str, tuple[nn.Module, Any, tuple[str, ...]]] = {
    "linear width": (mlp(), torch.randn(6, 5), ("(6, 5)", "0 (Linear) takes (…, 4) float32", "mat1 and mat2")),
    "linear integers": (mlp(), torch.ones(6, 4, dtype=torch.int64), ("int64 (6, 4)", "float32")),
    "conv channels": (Cnn(), torch.randn(6, 1, 8, 8), ("(6, 1, 8, 8)", "stem (Conv2d) takes (B, 3, H, W)")),
    "conv bytes": (Cnn(), torch.zeros(6, 3, 8, 8, dtype=torch.uint8), ("uint8", "stem (Conv2d)", "float32")),
    "conv size": (Cnn(), torch.randn(6, 3, 9, 9), ("fc (Linear) takes (…, 144)",)),
    "unpacking": (Cnn(), torch.randn(6, 3), ("(6, 3)", "stem (Conv2d)", "unpack")),
    "embedding of floats": (nn.Embedding(5, 2), X, ("float32 (6, 4)", "integers from 0 to 4")),
    "embedding range": (nn.Embedding(5, 2), torch.full((6, 4), 5), ("int64 (6, 4)", "integers from 0 to 4")),
    "lstm": (nn.LSTM(3, 2, batch_first=True), torch.randn(6, 5, 4), ("(B, S, 3)",)),
    "attention": (nn.TransformerEncoderLayer(8, 2, 8), torch.randn(6, 5, 4), ("(S, B, 8)",)),
    "batch norm": (nn.BatchNorm2d(3), torch.randn(6, 4, 5, 5), ("(B, 3, …)",)),
    "norm": (nn.LayerNorm(3), X, ("(…, 3)",)),
    "group norm": (nn.GroupNorm(1, 3), torch.randn(6, 4, 5), ("(B, 3, …)",)),
    "bilinear": (nn.Bilinear(4, 3, 2), (X, X), ("(…, 4) and (…, 3)",)),
    "cell": (nn.GRUCell(3, 2), X, ("(B, 3)",)),
    "activation of integers": (nn.GELU(), torch.ones(6, 4, dtype=torch.int64), ("int64 (6, 4)", "not implemented")),
    "cat in own code": (
        Forward(lambda self, a, b: torch.cat([a, b]), fc=nn.Linear(4, 1)),
        (X, torch.randn(6, 3)),
        ("(6, 3)", "Sizes of tensors"),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_data_that_does_not_fit(case: str) -> None:
    module, data, words = MISFITS[case]
    error = error_of(module, data)
    assert isinstance(error, SampleError)
    assert error.slug == "data-does-not-fit"
    assert error.status == ExitStatus.UNUSABLE
    for word in words:
        assert word in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize("data", [torch.randn(6, 5), torch.ones(2, 4, dtype=torch.int64)])
def test_exported_programs_say_their_example_inputs(data: torch.Tensor) -> None:
    with pytest.raises(SampleError) as caught:
        draw(exported(mlp(), torch.randn(2, 4)), data)
    assert caught.value.slug == "data-does-not-fit"
    assert "example inputs are input float32 (2, 4)" in caught.value.message


def boom(self: Any, x: torch.Tensor) -> Any:
    raise RuntimeError("the shape of my day: boom")


def asserts(self: Any, x: torch.Tensor) -> Any:
    assert x.shape[1] == 3, "size"


def indexes(self: Any, x: torch.Tensor) -> Any:
    return [x][7]


def adds(self: Any, x: torch.Tensor) -> Any:
    return self.fc(x) + dict[str, Any]()["missing"]


FAILURES: dict[str, tuple[Any, str]] = {
    "raise": (boom, "RuntimeError: the shape of my day: boom"),
    "assert": (asserts, "AssertionError: size"),
    "division": (lambda self, x: 1 / 0, "ZeroDivisionError"),
    "attribute": (lambda self, x: self.gone(x), "AttributeError"),
    "list index": (indexes, "IndexError"),
    "key": (adds, "KeyError"),
    "type": (lambda self, x: None + 1, "TypeError"),  # type: ignore[operator]
    "value": (lambda self, x: int("a"), "ValueError"),
    "name": (lambda self, x: nothing, "NameError"),  # type: ignore[name-defined]  # noqa: F821
    "not implemented": (lambda self, x: nn.Module()(x), "NotImplementedError"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_forward_that_fails_by_itself(case: str) -> None:
    function, words = FAILURES[case]
    error = error_of(nn.Sequential(Forward(function, fc=nn.Linear(4, 2))), X)
    assert isinstance(error, NotCompleted)
    assert error.slug == "forward-failed"
    assert error.status == ExitStatus.NOT_COMPLETED
    assert words in error.message
    assert "float32 (6, 4)" in error.hint
    assert " 0 (Forward)" in error.message
    assert "at test_sample_fit.py:" in error.message


def test_the_same_failures_without_data() -> None:
    for function in (boom, lambda self, x: 1 / 0, lambda self, x: self.fc(x) and self.gone(x)):
        assert error_of(Forward(function, fc=nn.Linear(4, 2)), None).slug == "forward-failed"


@pytest.mark.parametrize("give", [lambda x: None, lambda x: x.numpy(), lambda x: {"n": 3}])
def test_a_forward_that_gives_no_tensor(give: Any) -> None:
    error = error_of(Forward(lambda self, x: give(x)), X)
    assert (error.slug, error.status) == ("no-output", ExitStatus.NOT_COMPLETED)


def test_no_memory() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 55)

    error = error_of(Forward(forward), X)
    assert (error.slug, error.status) == ("out-of-memory", ExitStatus.NOT_COMPLETED)


def test_lazy_layers_are_refused() -> None:
    module = nn.LazyLinear(3)
    assert error_of(module, X).slug == "uninitialised-model"
    assert torch.nn.parameter.is_lazy(module.weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("make", [lambda x: x, lambda x: x.numpy(), lambda x: {"x": x}, lambda x: (x, X[:, 0])])
def test_values_that_are_not_finite(value: float, make: Any) -> None:
    x = X.clone()
    x[2, 3] = x[4, 0] = value
    error = error_of(mlp(outputs=1), make(x))
    assert error.slug == "non-finite-data"
    assert "2 of 24 values" in error.message
    assert "index (2, 3)" in error.message
    assert "x" in error.message or "array 0" in error.message or "the data" in error.message


def test_a_target_that_is_not_finite_is_named() -> None:
    error = error_of(mlp(outputs=1), {"x": X, "y": torch.tensor([0, 1, 2, 3, 4, torch.nan])})
    assert error.slug == "non-finite-data"
    assert "array y has 1 of 6" in error.message


def test_masks_may_be_minus_infinity() -> None:
    def forward(self: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.fc(x) + mask, -1)

    module = Forward(forward, fc=nn.Linear(4, 4))
    mask = torch.zeros(6, 4)
    mask[:, 1] = -torch.inf
    assert draw(subject_of(module), {"x": X, "mask": mask}).samples == 6
    assert error_of(module, {"x": mask, "mask": mask}).slug == "non-finite-data"
    assert error_of(module, {"x": X, "mask": -mask}).slug == "non-finite-data"


def test_models_that_differentiate_inside_their_forward() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = x.requires_grad_()
        return torch.autograd.grad(self.fc(x).pow(2).sum(), x, create_graph=True)[0]

    assert draw(subject_of(Forward(forward, fc=nn.Linear(4, 2))), X).samples == 6
