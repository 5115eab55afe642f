from __future__ import annotations

from typing import Any

import pytest
from remedy_reports import deep, finding, layer, report_of
from torch import nn

from gradcheck_cli.records import LayerReport, Verdict
from gradcheck_cli.remedies import advise, with_remedies
from gradcheck_cli.remedies.advise import MOST

SIGMOIDS = report_of(deep(nn.Sigmoid))
TANHS = report_of(deep(nn.Tanh))
RELUS = report_of(deep(nn.ReLU))
RNN = report_of(nn.ModuleDict({"rnn": nn.RNN(2, 3), "fc": nn.Linear(3, 2)}))
LSTM = report_of(nn.ModuleDict({"rnn": nn.LSTM(2, 3), "fc": nn.Linear(3, 2)}))


@pytest.mark.parametrize(
    ("code", "name", "report", "evidence", "best"),
    [
        ("GC101", "3", SIGMOIDS, {"cause": "activation-slope", "activation": "Sigmoid"}, "replace-sigmoid"),
        ("GC101", "2", SIGMOIDS, {}, "replace-sigmoid"),
        ("GC101", "3", TANHS, {"cause": "weight-scale"}, "reinitialise"),
        ("GC101", "3", TANHS, {}, "reinitialise"),
        ("GC101", "2", RELUS, {"cause": "depth"}, "residual-connection"),
        ("GC102", "2", TANHS, {}, "reinitialise"),
        ("GC103", "5", TANHS, {"cause": "saturation"}, "replace-sigmoid"),
        ("GC103", "5", TANHS, {"cause": "weight-scale"}, "reinitialise"),
        ("GC104", "rnn", RNN, {"cause": "time"}, "gated-cell"),
        ("GC104", "rnn", LSTM, {}, "reinitialise"),
        ("GC105", "0", RELUS, {"cause": "dtype"}, "loss-scaling"),
        ("GC106", "4", RELUS, {}, "reinitialise"),
        ("GC201", "4", RELUS, {"cause": "weight-scale"}, "reinitialise"),
        ("GC202", "4", RELUS, {}, "reinitialise"),
        ("GC203", "rnn", LSTM, {"cause": "time"}, "reinitialise"),
        ("GC204", "4", RELUS, {}, "fix-values"),
        ("GC205", "4", RELUS, {}, "fix-values"),
        ("GC206", "4", RELUS, {"cause": "dtype", "dtype": "float16"}, "loss-scaling"),
        ("GC206", "4", RELUS, {"cause": "dtype", "dtype": "float32"}, "fix-values"),
        ("GC207", "40", RELUS, {}, "fix-values"),
        ("GC208", "4", RELUS, {}, "learning-rate"),
        ("GC301", "5", RELUS, {}, "leaky-activation"),
        ("GC302", "4", RELUS, {"operation": "detach"}, "reattach"),
        ("GC303", "4", RELUS, {}, "reattach"),
        ("GC304", "4", RELUS, {"cause": "cut", "zero_weights": ["4.weight"]}, "reinitialise"),
        ("GC304", "4", RELUS, {"cause": "cut", "zero_weights": []}, "reattach"),
    ],
)
def test_the_cause_is_fixed_first(
    code: str, name: str, report: tuple[LayerReport, ...], evidence: dict[str, Any], best: str
) -> None:
    found = finding(code, name, **evidence)
    remedies = advise([found], report)
    assert remedies[0].id == best
    assert 1 <= len(remedies) <= MOST
    assert all(remedy.layers == (name,) for remedy in remedies)
    assert with_remedies([found], report)[0].remedies == tuple(remedy.id for remedy in remedies)


def test_victims_and_notes_get_none() -> None:
    findings = [finding("GC101", "0", culprit=False), finding("GC901", "2", culprit=False)]
    assert advise(findings, RELUS) == ()
    assert with_remedies(findings, RELUS) == tuple(findings)


def test_one_remedy_over_several_layers() -> None:
    findings = [finding("GC301", "5"), finding("GC301", "3"), finding("GC301", "5")]
    remedy = advise(findings, RELUS)[0]
    assert remedy.layers == ("5", "3")
    assert remedy.how == 'for name in ("3", "5"):\n    model.set_submodule(name, nn.LeakyReLU(0.01))'


def test_every_culprit_keeps_its_best_remedy_and_dead_comes_first() -> None:
    codes = ["GC102", "GC105", "GC204", "GC208", "GC301", "GC302"]
    findings = [finding(code, str(2 * place)) for place, code in enumerate(codes, start=1)]
    remedies = advise(findings, RELUS)
    ids = [remedy.id for remedy in remedies]
    assert len(ids) == len(set(ids)) == MOST
    assert set(ids) == {"reinitialise", "loss-scaling", "fix-values", "learning-rate", "leaky-activation", "reattach"}
    assert set(ids[:2]) == {"leaky-activation", "reattach"}
    for found, alone in zip(with_remedies(findings, RELUS), findings, strict=True):
        assert found.remedies[0] == advise([alone], RELUS)[0].id


def test_the_output_sigmoid_is_left_alone() -> None:
    report = report_of(nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid()))
    how = advise([finding("GC101", "1")], report)[0].how
    assert how.startswith('model.set_submodule("1", nn.ReLU())\nmodule = model.get_submodule("0")\n')
    assert '"2"' not in how
    assert '"3"' not in how
    assert "replace-sigmoid" not in {remedy.id for remedy in advise([finding("GC103", "3")], report)}


def test_many_layers_are_told_by_their_class() -> None:
    how = next(r.how for r in advise([finding("GC101", "3")], SIGMOIDS) if r.id == "reinitialise")
    assert 'type(module).__name__ == "Linear" and name not in ("40",)' in how


def test_the_activation_named_in_the_evidence_is_changed() -> None:
    evidence: dict[str, Any] = {"activation": "ReLU", "activation_layer": "1", "dead_units": 1.0}
    report = report_of(nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU()))
    how = advise([finding("GC301", "2", **evidence)], report)[0].how
    assert how == 'model.set_submodule("1", nn.LeakyReLU(0.3))'


def test_a_zero_gradient_is_explained_by_dead_units() -> None:
    findings = [finding("GC301", "2"), finding("GC304", "2", cause="cut", operation="zero")]
    assert advise(findings, RELUS) == advise(findings[:1], RELUS)
    assert [found.remedies[:1] for found in with_remedies(findings, RELUS)] == [("leaky-activation",), ()]


def test_functional_calls_are_named_as_such() -> None:
    report = (layer("block.fc", "Linear", "weight"), layer("block.relu()", "ReLU"))
    how = advise([finding("GC301", "block.relu()")], report)[0].how
    assert how == 'y = F.leaky_relu(y, 0.01)  # in forward(), in place of "block.relu()"'


def test_a_layer_that_the_report_lacks_still_gets_advice() -> None:
    remedies = advise([finding("GC303", "aux", cause="cut")], ())
    assert [remedy.id for remedy in remedies] == ["reattach"]
    assert 'model.get_submodule("aux")(y)' in remedies[0].how


def test_normalised_layers_are_not_normalised_again() -> None:
    report = report_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU()))
    ids = {remedy.id for remedy in advise([finding("GC102", "0")], report)}
    assert "normalise-layers" not in ids
    assert "normalise-layers" in {remedy.id for remedy in advise([finding("GC102", "3")], report)}


def test_verdicts_of_the_findings_stay() -> None:
    assert with_remedies([finding("GC301", "5")], RELUS)[0].verdict is Verdict.DEAD
