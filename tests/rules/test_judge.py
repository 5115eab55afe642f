"""Verdicts from readings made by hand: one behaviour a test, thresholds from `config` alone."""

from __future__ import annotations

import math

import msgspec
import pytest
from made_readings import chain, linear, readings, units, weight

from gradcheck_cli.config import Thresholds
from gradcheck_cli.errors import UsageError
from gradcheck_cli.judge import Judgement, judge
from gradcheck_cli.readings import CutReading, LayerReading, Readings, Role, TimeReading
from gradcheck_cli.records import Verdict


def codes(judgement: Judgement, layer: str) -> set[str]:
    return {finding.code for finding in judgement.findings if finding.layer == layer}


def verdicts(judgement: Judgement) -> dict[str, str]:
    return {layer.name: layer.verdict.value for layer in judgement.layers}


def changed(found: Readings, name: str, **changes: object) -> Readings:
    layers = tuple(msgspec.structs.replace(layer, **changes) if layer.name == name else layer for layer in found.layers)
    return msgspec.structs.replace(found, layers=layers)


def test_a_net_near_its_critical_line_is_healthy() -> None:
    found = judge(chain([(1.4, 0.7)] * 30))
    assert (found.verdict, found.culprits) == (Verdict.HEALTHY, ())


def test_a_decay_that_all_layers_share_starts_where_it_crosses_the_threshold() -> None:
    found = judge(chain([(0.58, 0.21)] * 20, "Sigmoid"))
    assert found.verdict is Verdict.VANISHING
    (culprit,) = found.culprits
    ill = [name for name, verdict in verdicts(found).items() if verdict == "vanishing" and name.startswith("fc")]
    assert culprit == ill[-1]
    finding = next(f for f in found.findings if f.culprit)
    assert (finding.code, finding.evidence["cause"], finding.evidence["activation"]) == (
        "GC101",
        "activation-slope",
        "Sigmoid",
    )
    assert verdicts(found)["head"] == "healthy"


def test_one_layer_that_loses_the_signal_is_the_culprit_and_those_in_front_its_victims() -> None:
    gains = [(1.4, 0.7)] * 8
    gains[4] = (1e-5, 0.7)
    found = judge(chain(gains))
    assert found.culprits == ("fc5",)
    assert codes(found, "fc5") == {"GC102"}
    victim = next(f for f in found.findings if f.layer == "fc1")
    assert (victim.culprit, victim.because_of) == (False, ("fc5",))
    assert verdicts(found)["fc6"] == "healthy"


def test_one_layer_that_blows_the_signal_up_is_the_culprit() -> None:
    gains = [(1.4, 0.7)] * 8
    gains[4] = (1e5, 0.7)
    found = judge(chain(gains))
    assert (found.verdict, found.culprits) == (Verdict.EXPLODING, ("fc5",))


def test_a_growth_that_all_layers_share() -> None:
    found = judge(chain([(4.2, 0.7)] * 12))
    assert found.verdict is Verdict.EXPLODING
    assert {f.code for f in found.findings if f.verdict is Verdict.EXPLODING} == {"GC201"}


def test_a_weak_side_branch_beside_a_healthy_trunk_is_no_fault() -> None:
    found = judge(
        readings(
            linear("stem", 1.0),
            linear("query", 1e-7, ("stem",), 1e-3),
            linear("head", 1.0, ("stem", "query")),
        )
    )
    assert found.verdict is Verdict.HEALTHY


def test_scales_that_cancel_are_healthy_with_a_note() -> None:
    layers = [linear("a", 1.0), linear("b", 1e-6, ("a",), 1e6, output_rms=1e6), linear("c", 1.0, ("b",), 1e-6)]
    found = judge(readings(*layers))
    assert (found.verdict, codes(found, "b")) == (Verdict.HEALTHY, {"GC912"})


def test_an_underflow_to_exactly_zero_is_vanishing_and_not_dead() -> None:
    found = judge(chain([(1e-4, 1e-4)] * 2 + [(1e-16, 1e-16)] * 2))
    deep = changed(chain([(1e-4, 1e-4)] * 2 + [(1e-16, 1e-16)] * 2), "fc1", transmission=0.0)
    assert found.verdict is judge(deep).verdict is Verdict.VANISHING
    assert verdicts(judge(deep))["fc1"] == "vanishing"


@pytest.mark.parametrize(
    ("dead", "always_on", "seen", "expected"),
    [
        (64, 0, 256, Verdict.DEAD),
        (32, 0, 256, Verdict.DEAD),  # half is enough where the others tell samples apart
        (31, 0, 256, Verdict.HEALTHY),
        (33, 31, 256, Verdict.HEALTHY),  # a constant input silences half of the units by chance
        (60, 4, 256, Verdict.DEAD),  # but not nearly all of them
        (64, 0, 4, Verdict.HEALTHY),  # too few samples to say
    ],
)
def test_silent_units(dead: int, always_on: int, seen: int, expected: Verdict) -> None:
    found = judge(changed(chain([(1.4, 0.7)] * 3), "act2", units=units(64, dead, always_on, seen)))
    assert found.verdict is expected
    if expected is Verdict.DEAD:
        assert found.culprits == ("fc2",)
    if seen < Thresholds().evidence:
        assert "few-samples" in next(layer.notes for layer in found.layers if layer.name == "fc2")


def test_what_is_in_front_of_a_wholly_dead_layer_is_its_victim() -> None:
    found = chain([(1.4, 0.7)] * 3)
    found = changed(found, "act2", units=units(64, 64))
    for name in ("fc2", "act1", "fc1"):
        dead_weight = (weight(f"{name}.weight", signal=0.0),) if name.startswith("fc") else ()
        found = changed(found, name, transmission=0.0, incoming=0.0, parameters=dead_weight)
    result = judge(found)
    assert result.culprits == ("fc2",)
    assert verdicts(result) == {
        "fc1": "dead",
        "act1": "dead",
        "fc2": "dead",
        "act2": "dead",
        "fc3": "healthy",
        "act3": "healthy",
        "head": "healthy",
    }
    assert next(f for f in result.findings if f.layer == "fc1").because_of == ("fc2",)


def test_a_layer_behind_a_dead_one_is_not_judged_by_its_units() -> None:
    found = changed(chain([(1.4, 0.7)] * 3), "act2", units=units(64, 64))
    found = changed(found, "act3", units=units(64, 40, 24))
    result = judge(found)
    assert result.culprits == ("fc2",)
    assert "behind-dead" in next(layer.notes for layer in result.layers if layer.name == "act3")


@pytest.mark.parametrize("excuse", [{"multiplied": True}, {"final": True}, {}])
def test_saturation_is_judged_on_the_trunk_only(excuse: dict[str, bool]) -> None:
    found = changed(chain([(1.4, 0.7)] * 3, "Tanh"), "act2", units=units(32, saturated=30, bounded=True), **excuse)
    result = judge(found)
    assert result.verdict is (Verdict.HEALTHY if excuse else Verdict.VANISHING)
    assert result.culprits == (() if excuse else ("fc2",))


def test_a_gate_that_opens_is_healthy_and_one_that_does_not_is_dead() -> None:
    shut = [linear("stem", 1.0), linear("branch", 0.0, ("stem",), 0.0), linear("head", 1.0, ("stem", "branch"))]
    shut[1] = msgspec.structs.replace(shut[1], parameters=(weight("branch.weight", signal=0.0, opened_signal=0.5),))
    opened = readings(*shut, gates=("scale",))
    opened = changed(opened, "branch", opened_transmission=0.5)
    assert judge(opened).verdict is Verdict.HEALTHY
    assert codes(judge(opened), "branch") == {"GC902"}
    stays = changed(
        opened, "branch", opened_transmission=0.0, parameters=(weight("branch.weight", signal=0.0, opened_signal=0.0),)
    )
    assert verdicts(judge(stays))["branch"] == "dead"


def test_a_cut_names_the_layer_nearest_to_it() -> None:
    lost = [
        msgspec.structs.replace(
            linear(name, None), reached=False, parameters=(weight(f"{name}.weight", signal=None, reached=False),)
        )
        for name in ("a", "b")
    ]
    cut = CutReading(operation="detach", where="", leaf=False, behind=("b", "a"))
    found = judge(readings(*lost, linear("head", 1.0), cuts=(cut,)))
    assert (found.verdict, found.culprits) == (Verdict.DEAD, ("b",))
    assert "detach" in found.summary


def never_ran(name: str, **changes: object) -> LayerReading:
    silent = msgspec.structs.replace(weight(f"{name}.weight"), signal=None, reached=False)
    layer = msgspec.structs.replace(linear(name, None), called=False, reached=False, calls=0, parameters=(silent,))
    return msgspec.structs.replace(layer, **changes)


def test_an_unused_layer_is_dead_but_an_idle_expert_is_not() -> None:
    assert judge(readings(linear("a", 1.0), never_ran("b"))).culprits == ("b",)
    experts = judge(readings(linear("experts.0.fc", 1.0), never_ran("experts.1.fc")))
    assert (experts.verdict, codes(experts, "experts.1.fc")) == (Verdict.HEALTHY, {"GC909"})
    stack = (linear("blocks.0", 1.0), linear("blocks.1", 1.0, ("blocks.0",)))
    dropped = judge(readings(*stack, never_ran("blocks.2")))
    assert (dropped.verdict, codes(dropped, "blocks.2")) == (Verdict.HEALTHY, {"GC909"})
    forgotten = judge(readings(*stack, never_ran("blocks.2", idle=True)))
    assert (forgotten.culprits, codes(forgotten, "blocks.2")) == (("blocks.2",), {"GC303"})
    choice = judge(readings(linear("e.0", 1.0), linear("e.1", 1.0), never_ran("e.2", idle=True)))
    assert choice.verdict is Verdict.HEALTHY
    table = readings(linear("a", 1.0), never_ran("segment", kind="Embedding"))
    assert judge(table).culprits == ("segment",)
    assert judge(msgspec.structs.replace(table, inputs_left=("segments",))).verdict is Verdict.HEALTHY
    token = weight("masked", shape=(8,), signal=None, reached=False)
    mask = never_ran("body", kind="Body", container=True, parameters=(token,))
    assert judge(readings(linear("a", 1.0), mask)).verdict is Verdict.HEALTHY


def test_frozen_layers_get_no_verdict() -> None:
    found = chain([(1.4, 0.7), (1e-9, 0.7), (1.4, 0.7)])
    frozen = changed(found, "fc1", parameters=(weight("fc1.weight", trainable=False),))
    result = judge(frozen)
    assert verdicts(result)["fc1"] == "healthy"
    assert "frozen" in next(layer.notes for layer in result.layers if layer.name == "fc1")


def test_non_finite_weights_come_first_and_ratios_are_not_judged() -> None:
    found = chain([(1e-9, 0.7)] * 5)
    found = changed(found, "fc3", parameters=(weight("fc3.weight", nonfinite=2, norm=math.nan),))
    result = judge(found)
    assert result.culprits == ("fc3",)
    assert {f.code for f in result.findings if f.verdict is not Verdict.HEALTHY} == {"GC204"}


def recurrent(kind: str, reach: float, gain: float, largest: float = 1.0) -> Readings:
    time = TimeReading(steps=50, reach=reach, gain=gain, heard=5, largest=largest)
    return readings(linear("rnn", 0.5, kind=kind, time=time), linear("head", 1.0, ("rnn",)))


@pytest.mark.parametrize(
    ("kind", "reach", "gain", "largest", "expected"),
    [
        ("RNN", 1e-12, 0.57, 1.0, Verdict.VANISHING),
        ("RNN", 1e-3, 0.87, 1.0, Verdict.HEALTHY),
        ("LSTM", 1e-12, 0.57, 1.0, Verdict.HEALTHY),  # its forget gate is half open, and opens
        ("LSTM", 1e-30, 0.24, 1.0, Verdict.VANISHING),
        ("RNN", 1e6, 1.3, 1e6, Verdict.EXPLODING),
    ],
)
def test_through_time(kind: str, reach: float, gain: float, largest: float, expected: Verdict) -> None:
    assert judge(recurrent(kind, reach, gain, largest)).verdict is expected


def test_converged_is_a_note_on_a_healthy_model() -> None:
    found = chain([(1.4, 0.7)] * 3)
    quiet = tuple(
        msgspec.structs.replace(
            layer, parameters=tuple(msgspec.structs.replace(p, loss_gradient=1e-7) for p in layer.parameters)
        )
        for layer in found.layers
    )
    result = judge(msgspec.structs.replace(found, layers=quiet, loss=1e-6, loss_name="cross-entropy"))
    assert result.verdict is Verdict.HEALTHY
    assert "converged" in result.summary


def test_a_long_step_counts_only_with_a_rate_that_was_given() -> None:
    found = changed(chain([(1.4, 0.7)] * 3), "fc2", parameters=(weight("fc2.weight", loss_gradient=1e4),))
    assert judge(found).verdict is Verdict.HEALTHY
    assert judge(msgspec.structs.replace(found, lr=0.1)).culprits == ("fc2",)
    assert judge(msgspec.structs.replace(found, lr=0.1, optimizer="adam")).verdict is Verdict.HEALTHY


def test_select_and_ignore_by_code_and_layer() -> None:
    gains = [(1.4, 0.7)] * 8
    gains[4] = (1e-5, 0.7)
    found = chain(gains)
    assert judge(found, ignore=("GC1",)).verdict is Verdict.HEALTHY
    assert judge(found, select=("GC2", "GC3")).verdict is Verdict.HEALTHY
    assert judge(found, ignore=("GC101:*", "GC102:fc5")).verdict is Verdict.HEALTHY
    assert judge(found, ignore=("GC102:fc6",)).culprits == ("fc5",)
    with pytest.raises(UsageError) as caught:
        judge(found, select=("GC7",))
    assert caught.value.slug == "unknown-rule"


def test_what_is_ignored_is_kept_with_its_reason() -> None:
    gains = [(1.4, 0.7)] * 8
    gains[4] = (1e-5, 0.7)
    found = chain(gains)
    told = judge(found).findings
    hushed = judge(found, ignore=("GC102:fc6", "GC1 # small, by design", "GC101 # never reached"))
    assert {(f.code, f.layer) for f in hushed.ignored} | {(f.code, f.layer) for f in hushed.findings} == {
        (f.code, f.layer) for f in told
    }
    assert {f.reason for f in hushed.ignored if f.code == "GC101"} <= {"small, by design"}
    assert "small, by design" in {f.reason for f in hushed.ignored}
    (finding,) = (f for f in told if f.culprit)
    (kept,) = (f for f in hushed.ignored if (f.code, f.layer) == (finding.code, finding.layer))
    assert (kept.verdict, kept.culprit, kept.message) == (finding.verdict, True, finding.message)
    assert judge(found, ignore=("GC9 # a reason",)).ignored == ()
    with pytest.raises(UsageError):
        judge(found, ignore=("GC7 # a reason",))
    # What was not selected is not ignored either.
    assert judge(found, select=("GC2",), ignore=("GC1",)).ignored == ()


def test_what_could_not_be_measured_is_not_healthy() -> None:
    unheard = msgspec.structs.replace(linear("a", None), role=Role.ACTIVATION, parameters=())
    assert judge(readings(unheard)).verdict is Verdict.NOT_MEASURED
    assert judge(readings()).verdict is Verdict.NOT_MEASURED
