"""The comparison with ONNX Runtime: a wrong operator is found and named; what cannot be compared is said, and stops nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hostile_bombs import loop
from hostile_case import FLOAT, after_layer, changed, honest, model, saved, scalar, value, weight
from hostile_external import put_outside
from onnx import TensorProto, helper

from gradcheck_cli import diagnose
from gradcheck_cli.errors import ModelError
from gradcheck_cli.loaders import load
from gradcheck_cli.loaders.onnx_model import runtime
from gradcheck_cli.loaders.onnx_model.module import OnnxModule
from gradcheck_cli.records import Batch, Subject

BATCH = Batch((torch.linspace(-1, 1, 8).reshape(2, 4),))
node = helper.make_node


def loaded(found: onnx.ModelProto, folder: Path) -> Subject:
    return load(str(saved(found, folder)))


def compared(subject: Subject, batch: Batch = BATCH) -> tuple[str, ...]:
    assert subject.parity is not None
    return subject.parity(batch)


def falsify(subject: Subject, operator: str) -> None:
    """Let the first node of `operator` give 1 % too much."""
    assert isinstance(subject.module, OnnxModule)
    step = next(step for step in subject.module.steps if step.operator == operator)
    right = step.run

    def wrong(*args: Any, **kwargs: Any) -> Any:
        return right(*args, **kwargs) * 1.01

    step.run = wrong


def with_function() -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", 18)]
    twice = helper.make_function("f", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"], name="sum")], opsets)
    nodes = [node("Twice", ["h"], ["i"], domain="f"), node("Tanh", ["i"], ["y"], name="squash")]
    return after_layer(*nodes, functions=[twice], domains=["f"])


@pytest.mark.parametrize(
    ("made", "operator", "says"),
    [
        (honest(), "Relu", "its node Relu relu, with inputs of (2, 8), gives other values"),
        (honest(), "Gemm", "its node Gemm first, with inputs of (2, 4), (4, 8), (8,), gives other values"),
        (with_function(), "Add", "its node Add sum__1, with inputs of (2, 4), (2, 4), gives"),
        (loop(3, [node("Neg", ["s"], ["t"])]), "Gemm", "its node Gemm layer, with inputs of (2, 4), (4, 4), gives"),
    ],
    ids=["middle", "first", "function", "before a loop"],
)
def test_the_first_wrong_node_is_named(made: onnx.ModelProto, operator: str, says: str, tmp_path: Path) -> None:
    subject = loaded(made, tmp_path)
    assert compared(subject) == ()
    falsify(subject, operator)
    with pytest.raises(ModelError) as caught:
        compared(subject)
    assert caught.value.slug == "differs-from-runtime"
    assert says in caught.value.message
    assert "the largest difference is 0.01 of the largest value" in caught.value.message.replace("0.0099", "0.01")
    assert "--no-parity" in caught.value.hint


def test_it_stops_the_run_and_can_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradcheck_cli.onnx_ops import table

    entry = table().find("", "Relu", 18)
    assert entry is not None
    run = entry.run
    object.__setattr__(entry, "run", lambda *args: run(*args) * 1.5)
    try:
        path = saved(honest(), tmp_path)
        with pytest.raises(ModelError, match="Relu relu"):
            diagnose(path)
        assert diagnose(path, parity=False).layers
    finally:
        object.__setattr__(entry, "run", run)
    assert not any("compared" in remark for remark in diagnose(path).model.remarks)


def test_a_small_difference_is_none(tmp_path: Path) -> None:
    subject = loaded(honest(), tmp_path)
    assert isinstance(subject.module, OnnxModule)
    step = subject.module.steps[-1]
    right = step.run
    step.run = lambda *args, **kwargs: right(*args, **kwargs) + 5e-4
    assert compared(subject) == ()


@pytest.mark.parametrize(("declared", "compared_on"), [("N", 4), (None, 4), (9, 9)])
def test_a_few_samples_are_enough(
    declared: int | str | None, compared_on: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = honest()
    found.graph.input[0].CopyFrom(value("x", [declared, 4]))
    seen = []
    right = runtime.outputs_of

    def spied(made: Any, stored: Any, feed: Any, names: Any) -> Any:
        seen.append(feed["x"].shape)
        return right(made, stored, feed, names)

    monkeypatch.setattr(runtime, "outputs_of", spied)
    assert compared(loaded(found, tmp_path), Batch((torch.rand(9, 4),), size=9)) == ()
    assert seen == [(compared_on, 4)]


def test_the_mode_of_the_module_is_kept(tmp_path: Path) -> None:
    subject = loaded(honest(), tmp_path)
    for training in (True, False):
        subject.module.train(training)
        compared(subject)
        assert {part.training for part in subject.module.modules()} == {training}


# -------------------------------------------------------------------------------------------------- what is not compared


def test_what_the_runtime_cannot_run_is_said(tmp_path: Path) -> None:
    found = changed(lambda m: m.graph.node[1].attribute.append(helper.make_attribute("consumed_inputs", [0])))
    found.opset_import[0].version = 1  # the runtime begins with 7
    for each in found.graph.node[::2]:
        each.attribute.append(helper.make_attribute("broadcast", 1))
    (remark,) = compared(loaded(found, tmp_path))
    assert remark.startswith("not compared with ONNX Runtime, which does not run it: ")
    assert diagnose(saved(found, tmp_path)).layers


def test_a_type_that_the_runtime_lacks_is_said(tmp_path: Path) -> None:
    kind = TensorProto.BFLOAT16
    nodes = [node("Conv", ["x", "conv.weight"], ["y"])]
    tensor = helper.make_tensor("conv.weight", kind, [2, 3, 1, 1], [1.0] * 6)
    found = model(nodes, [tensor], [value("x", ["N", 3, 4, 4], kind)], [value("y", ["N", 2, 4, 4], kind)])
    batch = Batch((torch.ones(2, 3, 4, 4, dtype=torch.bfloat16),))
    (remark,) = compared(loaded(found, tmp_path), batch)
    assert "does not run it" in remark


@pytest.mark.parametrize("operator", ["RandomNormalLike", "RandomUniformLike"])
@pytest.mark.parametrize("inside", [False, True], ids=["graph", "body"])
def test_random_numbers_are_said(operator: str, inside: bool, tmp_path: Path) -> None:
    draws = [node(operator, ["s" if inside else "h"], ["t" if inside else "y"])]
    remarks = compared(loaded(loop(3, draws) if inside else after_layer(*draws), tmp_path))
    assert remarks == ("not compared with ONNX Runtime: the model draws random numbers",)


@pytest.mark.parametrize("on", [False, True])
def test_a_dropout_that_is_on_is_random(on: bool, tmp_path: Path) -> None:
    nodes = [node("Dropout", ["h", "ratio", "on"], ["y"])]
    tensors = [scalar("ratio", np.float32(0.5)), scalar("on", on)]
    remarks = compared(loaded(after_layer(*nodes, tensors=tensors), tmp_path), Batch((torch.ones(64, 4),)))
    assert bool(remarks) == on


def test_a_run_of_the_runtime_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "TIME_LIMIT", 0.2)
    endless = loop(2**62, [node("Neg", ["s"], ["t"])])
    with pytest.raises(Exception, match=r"(?i)terminat"):
        runtime.outputs_of(endless, {}, {"x": np.ones((2, 4), np.float32)}, ["y"])


# ------------------------------------------------------------------------------------------------------- weights outside


def test_the_runtime_opens_no_data_file(tmp_path: Path) -> None:
    found = honest()
    (tmp_path / "weights.bin").write_bytes(bytes(found.graph.initializer[0].raw_data))
    put_outside(found.graph.initializer[0], "weights.bin")
    subject = loaded(found, tmp_path)
    (tmp_path / "weights.bin").unlink()
    assert compared(subject) == ()
    falsify(subject, "Relu")
    with pytest.raises(ModelError, match="Relu relu"):
        compared(subject)


def test_weights_of_a_body_may_lie_outside(tmp_path: Path) -> None:
    inner = weight("inner", 4, 4)
    (tmp_path / "weights.bin").write_bytes(bytes(inner.raw_data))
    expected = BATCH.args[0] @ torch.from_numpy(onnx.numpy_helper.to_array(weight("layer.weight", 4, 4)))
    expected = expected @ torch.from_numpy(onnx.numpy_helper.to_array(inner))
    put_outside(inner, "weights.bin")
    body = helper.make_graph([node("MatMul", ["h", "inner"], ["b"])], "body", [], [value("b", None, FLOAT)], [inner])
    made = node("If", ["yes"], ["y"], then_branch=body, else_branch=body)
    made.attribute[1].g.initializer[0].name = "other"
    made.attribute[1].g.node[0].input[1] = "other"
    subject = loaded(after_layer(made, tensors=[scalar("yes", True)]), tmp_path)
    assert compared(subject) == ()
    torch.testing.assert_close(subject.module(BATCH.args[0]), expected)


def test_rounding_that_the_model_amplifies_is_no_difference(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(40) for part in (torch.nn.Linear(64, 64), torch.nn.Tanh())]
    for layer in layers[::2]:
        torch.nn.init.normal_(layer.weight, std=(20 / 64) ** 0.5)  # type: ignore[arg-type]
    x = torch.randn(4, 64)
    torch.onnx.export(torch.nn.Sequential(*layers), (x,), str(tmp_path / "deep.onnx"), dynamo=False)
    diagnosis = diagnose(tmp_path / "deep.onnx", data=x, rehearse=0)
    assert diagnosis.verdict.value == "exploding"
    assert any("amplifies rounding" in remark for remark in (*diagnosis.model.remarks, *diagnosis.sample.remarks))
