"""Losses against formulas written out by hand; the choice by target and model; targets that do not fit."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from sample_subjects import Forward, draw, exported, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import SampleError
from gradcheck_cli.records import Sample
from gradcheck_cli.sample import losses
from gradcheck_cli.sample.outputs import own_loss, primary
from gradcheck_cli.tensors import floating_leaves, leaves, map_tensors, named_leaves

X = torch.randn(6, 4)
CLASSES = torch.tensor([0, 1, 2, 2, 1, 0])


def by_hand(logits: torch.Tensor, classes: torch.Tensor) -> float:
    """Cross-entropy of logits (N, C), class by class."""
    rows = [logits[i].double().logsumexp(0) - logits[i, c].double() for i, c in enumerate(classes.tolist())]
    return float(sum(rows) / len(rows))


def value(sample: Sample, module: nn.Module) -> float:
    assert sample.loss is not None
    batch = sample.batches[0]
    loss = sample.loss(module(*batch.args, **batch.kwargs), batch.target)
    assert loss.shape == ()
    return float(loss.detach())


def gives(output: Any) -> nn.Module:
    """A module that gives `output`, for each batch as many rows as samples, whatever the input."""
    return Forward(lambda self, x: map_tensors(lambda t: t[: len(x)], output))


def slug(module: nn.Module, target: Any, **options: Any) -> str:
    with pytest.raises(SampleError) as caught:
        draw(subject_of(module), X, target=target, **options)
    assert caught.value.hint
    return caught.value.slug


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_integer_targets_take_cross_entropy(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    module = mlp()
    sample = draw(subject_of(module), X, target=CLASSES.to(dtype).reshape(shape))
    assert sample.loss_name == "cross-entropy"
    assert value(sample, module) == pytest.approx(by_hand(module(X), CLASSES), rel=1e-5)


def test_sequence_and_image_logits() -> None:
    sequence, image = torch.randn(6, 5, 3), torch.randn(6, 3, 4, 5)
    classes_s, classes_i = torch.randint(0, 3, (6, 5)), torch.randint(0, 3, (6, 4, 5))
    expected = by_hand(sequence.reshape(-1, 3), classes_s.reshape(-1))
    assert value(draw(subject_of(gives(sequence)), X, target=classes_s), gives(sequence)) == pytest.approx(expected)
    expected = by_hand(image.movedim(1, -1).reshape(-1, 3), classes_i.reshape(-1))
    for target in (classes_i, classes_i[:, None]):
        assert value(draw(subject_of(gives(image)), X, target=target), gives(image)) == pytest.approx(expected)
    square = torch.randn(6, 3, 3)
    classes = torch.randint(0, 3, (6, 3))
    for output, flat in ((square, square.transpose(1, 2)), ({"logits": square}, square)):
        expected = by_hand(flat.reshape(-1, 3), classes.reshape(-1))
        assert value(draw(subject_of(gives(output)), X, target=classes), gives(output)) == pytest.approx(expected)


def test_class_probabilities_and_ignored_classes() -> None:
    logits, shares = torch.randn(6, 3), torch.rand(6, 3).softmax(1)
    sample = draw(subject_of(gives(logits)), X, target=shares, loss="cross-entropy")
    expected = -(shares * logits.log_softmax(1)).sum(1).mean()
    assert value(sample, gives(logits)) == pytest.approx(float(expected), rel=1e-5)
    ignored = CLASSES.clone()
    ignored[3:] = -100
    sample = draw(subject_of(gives(logits)), X, target=ignored)
    assert value(sample, gives(logits)) == pytest.approx(by_hand(logits[:3], CLASSES[:3]), rel=1e-5)


def test_nll_takes_log_probabilities() -> None:
    logits = torch.randn(6, 3).log_softmax(1)
    sample = draw(subject_of(gives(logits)), X, target=CLASSES, loss="nll")
    assert value(sample, gives(logits)) == pytest.approx(by_hand(logits, CLASSES), rel=1e-5)
    assert slug(gives(logits), torch.rand(6, 3), loss="nll") == "target-does-not-fit"


@pytest.mark.parametrize(("out", "target"), [((6, 1), (6,)), ((6,), (6, 1)), ((6, 2, 1), (6, 2)), ((6, 2), (6, 2))])
@pytest.mark.parametrize("name", ["mse", "l1", "bce"])
def test_targets_are_reshaped_and_never_broadcast(out: tuple[int, ...], target: tuple[int, ...], name: str) -> None:
    output, goal = torch.randn(out), torch.rand(target)
    sample = draw(subject_of(gives(output)), X, target=goal, loss=name)
    o, g = output.reshape(-1), goal.reshape(-1)
    expected = {
        "mse": ((o - g) ** 2).mean(),
        "l1": (o - g).abs().mean(),
        "bce": -(g * o.sigmoid().log() + (1 - g) * (1 - o.sigmoid()).log()).mean(),
    }[name]
    assert value(sample, gives(output)) == pytest.approx(float(expected), rel=1e-4)


def test_float_targets_take_mse() -> None:
    assert draw(subject_of(mlp(outputs=1)), X, target=torch.randn(6).double()).loss_name == "mse"


SIGMOIDS: dict[str, nn.Module] = {
    "module": nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()),
    "function and view": Forward(lambda self, x: torch.sigmoid(self.fc(x)).squeeze(-1), fc=nn.Linear(4, 1)),
    "in place": Forward(lambda self, x: self.fc(x).sigmoid_(), fc=nn.Linear(4, 1)),
    "cast": Forward(lambda self, x: self.fc(x).sigmoid().double().clone(), fc=nn.Linear(4, 1)),
    "hard": nn.Sequential(nn.Linear(4, 1), nn.Hardsigmoid()),
}


@pytest.mark.parametrize("kind", SIGMOIDS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_one_unit_takes_bce_of_probabilities_after_a_sigmoid(kind: str, dtype: torch.dtype) -> None:
    module = SIGMOIDS[kind]
    target = torch.tensor([0, 1, 1, 0, 1, 0]).to(dtype)
    sample = draw(subject_of(module), X, target=target)
    p, t = module(X).reshape(-1), target.float()
    assert sample.loss_name == "bce"
    assert any("ends in a sigmoid" in remark for remark in sample.remarks)
    assert any("one output unit" in remark for remark in sample.remarks)
    assert value(sample, module) == pytest.approx(float(-(t * p.log() + (1 - t) * (1 - p).log()).mean()), rel=1e-4)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Tanh(), nn.ReLU()])
def test_one_unit_takes_bce_of_logits_otherwise(last: nn.Module) -> None:
    module = nn.Sequential(nn.Sigmoid(), nn.Linear(4, 1), last)
    target = torch.tensor([0, 1, 1, 0, 1, 0])
    sample = draw(subject_of(module), X, target=target)
    p, t = module(X).reshape(-1).sigmoid(), target.float()
    assert any("does not end in a sigmoid" in remark for remark in sample.remarks)
    assert value(sample, module) == pytest.approx(float(-(t * p.log() + (1 - t) * (1 - p).log()).mean()), rel=1e-4)


def test_the_sigmoid_is_seen_in_exported_programs_too() -> None:
    subject = exported(SIGMOIDS["module"], torch.randn(2, 4), dynamic=True)
    sample = draw(subject, X, target=torch.tensor([0, 1, 1, 0, 1, 0]))
    assert any("ends in a sigmoid" in remark for remark in sample.remarks)


def test_several_labels_take_bce_and_a_softmax_is_remarked() -> None:
    several = torch.randint(0, 2, (6, 3))
    assert draw(subject_of(mlp()), X, target=several).loss_name == "bce"
    sample = draw(subject_of(nn.Sequential(mlp(), nn.Softmax(1))), X, target=CLASSES)
    assert any("softmax is applied twice" in remark for remark in sample.remarks)
    assert not draw(subject_of(nn.Sequential(mlp(), nn.LogSoftmax(1))), X, target=CLASSES).remarks


MISFITS: dict[str, tuple[nn.Module, torch.Tensor, dict[str, Any]]] = {
    "class too high": (mlp(), CLASSES + 1, {}),
    "class below 0": (mlp(), CLASSES - 1, {}),
    "class too high in a later batch": (mlp(), torch.tensor([0, 1, 2, 0, 3, 0]), {"batch_size": 2}),
    "five targets for six": (mlp(), CLASSES[:5], {}),
    "one target": (mlp(), torch.tensor(1), {}),
    "mse width": (mlp(), torch.randn(6, 2), {}),
    "mse of a class": (mlp(), torch.randn(6), {"loss": "mse"}),
    "bce out of range": (mlp(outputs=1), torch.full((6,), 2.0), {"loss": "bce"}),
    "bce out of range later": (mlp(outputs=1), torch.tensor([0, 1, 0, 1, 5, 1]), {"batch_size": 2}),
    "classes and positions": (mlp(), torch.zeros(6, 5, dtype=torch.int64), {}),
    "probabilities": (mlp(), torch.rand(6, 2), {"loss": "cross-entropy"}),
    "classes of one unit": (nn.Flatten(0), torch.zeros(6, dtype=torch.int64), {"loss": "nll"}),
}


@pytest.mark.parametrize("case", MISFITS)
def test_targets_that_do_not_fit(case: str) -> None:
    module, target, options = MISFITS[case]
    assert slug(module, target, **options) == "target-does-not-fit"


def test_named_losses_without_a_target_and_unknown_losses() -> None:
    assert slug(mlp(), None, loss="mse") == "missing-target"
    assert slug(mlp(), CLASSES, loss="hinge") == "unknown-loss"
    assert slug(mlp(), {"a": CLASSES, "b": CLASSES}) == "target-does-not-fit"
    sample = draw(subject_of(mlp()), X, target=CLASSES, loss="none")
    assert (sample.loss_name, sample.loss) == ("none", None)


def test_users_losses() -> None:
    def mine(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (output[:, 0] - target).abs().mean()[None]

    module = mlp()
    sample = draw(subject_of(module), X, target=CLASSES, loss=mine)
    assert sample.loss_name == "mine"
    assert value(sample, module) == pytest.approx(float((module(X)[:, 0] - CLASSES).abs().mean()))
    for loss in (nn.CrossEntropyLoss(), "torch.nn:CrossEntropyLoss", "torch.nn.functional:cross_entropy"):
        sample = draw(subject_of(module), X, target=CLASSES, loss=loss)
        assert value(sample, module) == pytest.approx(by_hand(module(X), CLASSES), rel=1e-5)
    free = draw(subject_of(module), None, loss=lambda output, target: output.pow(2).mean())
    assert free.loss is not None
    assert slug(module, CLASSES, loss=lambda o, t: o) == "loss-failed"
    assert slug(module, CLASSES, loss=lambda o, t: o.sum().item()) == "loss-failed"
    assert slug(module, CLASSES, loss=lambda o, t: o[99]) == "loss-failed"


def test_outputs_without_floats_have_no_loss() -> None:
    sample = draw(subject_of(Forward(lambda self, x: self.fc(x).argmax(1), fc=nn.Linear(4, 3))), X, target=CLASSES)
    assert sample.loss_name == "none"
    assert sample.remarks


def test_the_loss_is_differentiable_and_needs_the_model_s_own_loss_each_time() -> None:
    module = mlp()
    sample = draw(subject_of(module), X, target=CLASSES)
    assert sample.loss is not None
    torch.autograd.backward(sample.loss(module(X), CLASSES))
    assert module[0].weight.grad.abs().sum() > 0  # type: ignore[index]
    with pytest.raises(SampleError, match="none for another"):
        losses.model_loss({"logits": X}, None)


# ------------------------------------------------------------------------------------------------------------- outputs


@dataclass
class Output:
    loss: Any = None
    logits: Any = None
    extra: Any = None


Pair = namedtuple("Pair", ["first", "second"])
A, B, I, S = torch.ones(2), torch.zeros(2, 2), torch.ones(2, dtype=torch.int64), torch.tensor(3.0)  # noqa: E741


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        *[(A, A), (I, I), ((I, A, B), A), ([S, B], B), ({"loss": S, "x": B}, B), (Output(S, B, A), B), (Pair(I, A), A)],
        *[((I,), None), (None, None), ({"a": {"b": (A,)}}, A), ((S,), S), (Output(extra=[A]), A)],
    ],
)
def test_primary(output: Any, expected: Any) -> None:
    assert primary(output) is expected


def test_own_loss() -> None:
    with_loss: list[Any] = [Output(S), {"loss": S}]
    without: list[Any] = [S, Output(), {"loss": B}, {"loss": 3.0}, {"loss": torch.tensor(1)}, (S, B)]
    for output in with_loss:
        found = own_loss(output)
        assert found is not None
        assert found.item() == 3.0
    for output in without:
        assert own_loss(output) is None


def test_leaves_and_map_keep_order_types_and_the_rest() -> None:
    nested = {"a": [A, 3, (I, None)], "b": Output(logits=B), "c": Pair(A, "text"), "d": OrderedDict(x=S)}
    assert [name for name, _ in named_leaves(nested)] == ["a.0", "a.2.0", "b.logits", "c.first", "d.x"]
    assert [id(t) for t in leaves(nested)] == [id(t) for t in (A, I, B, A, S)]
    assert [id(t) for t in floating_leaves(nested)] == [id(t) for t in (A, B, A, S)]
    mapped = map_tensors(lambda t: t + 1, nested)
    assert [t.tolist() for t in leaves(mapped)] == [(t + 1).tolist() for t in leaves(nested)]
    assert type(mapped["b"]) is Output
    assert type(mapped["c"]) is Pair
    assert mapped["c"].second == "text"
    assert type(mapped["d"]) is OrderedDict
    assert nested["b"].logits is B  # type: ignore[attr-defined]
    assert map_tensors(lambda t: t + 1, torch.ones(2, 2).max(0)).values.tolist() == [2, 2]


def test_containers_that_contain_themselves_end() -> None:
    loop: list[Any] = [A]
    loop.append(loop)
    assert 1 <= len(list(leaves(loop))) < 100
