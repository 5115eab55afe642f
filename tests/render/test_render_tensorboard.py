"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from invented_diagnoses import INVENTED
from made_diagnoses import DIAGNOSES
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import Diagnosis, GradientFacts, LayerTrace, SeriesFacts, Spread
from gradcheck_cli.render import tensorboard
from gradcheck_cli.text import plain

SPREAD = Spread(lowest=-9, counts=(1, 0, 3, 4), zeros=2)
few = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def read(folder: Path, diagnosis: Diagnosis) -> EventAccumulator:
    """Write the files and return what TensorBoard sees in the folder."""
    for name, data in tensorboard.render(diagnosis).items():
        (folder / name).write_bytes(data)
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def with_gradients(path: str = "step_7.pt") -> Diagnosis:
    diagnosis = INVENTED["dead_relu"]()
    gradients = GradientFacts(of="loss", layers={"net.0": SPREAD, "net.3": Spread(lowest=0, counts=(), zeros=4)})
    model = msgspec.structs.replace(diagnosis.model, path=path)
    return msgspec.structs.replace(diagnosis, gradients=gradients, model=model)


def test_readings_are_scalars_at_the_step_of_the_name(tmp_path: Path) -> None:
    diagnosis = with_gradients()
    seen = read(tmp_path, diagnosis)
    tags = seen.Tags()["scalars"]
    for layer in diagnosis.layers:
        for field, value in msgspec.structs.asdict(layer.readings).items():
            tag = f"{field}/{layer.name}"
            if value is None or field in ("units", "seen", "time_steps"):
                assert tag not in tags
            else:
                (event,) = seen.Scalars(tag)
                assert event.step == 7
                assert event.value == pytest.approx(value, rel=1e-6)
    assert seen.Scalars("zero_gradients/net.0")[0].value == pytest.approx(0.2)
    assert seen.Scalars("zero_gradients/net.3")[0].value == 1.0
    ill = sum(layer.verdict.value == "dead" for layer in diagnosis.layers)
    assert seen.Scalars("model/layers dead")[0].value == ill > 0


def test_gradients_are_histograms_of_their_order_of_magnitude(tmp_path: Path) -> None:
    seen = read(tmp_path, with_gradients())
    assert seen.Tags()["histograms"] == ["loss_gradient_log10/net.0"]  # of nothing but zeros there is none
    (event,) = seen.Histograms("loss_gradient_log10/net.0")
    found = event.histogram_value
    assert event.step == 7
    assert list(found.bucket) == [1, 0, 3, 4]
    assert [10**limit for limit in found.bucket_limit] == pytest.approx([2.0**e for e in (-9, -8, -7, -6)])
    assert 10**found.min == pytest.approx(2.0**-10)
    assert 10**found.max == pytest.approx(2.0**-6)
    assert found.num == 8
    assert found.min < found.sum / found.num < found.max
    assert found.sum_squares >= found.sum**2 / found.num


def test_checkpoints_written_one_by_one_lie_beside_each_other(tmp_path: Path) -> None:
    for path in ("run/step_20.pt", "run/step_3.pt", "run/step_100.pt"):
        seen = read(tmp_path, with_gradients(path))
    assert [event.step for event in seen.Histograms("loss_gradient_log10/net.0")] == [3, 20, 100]
    assert [event.step for event in seen.Scalars("model/layers dead")] == [3, 20, 100]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_series_is_a_step_a_checkpoint(tmp_path: Path) -> None:
    trace = LayerTrace(
        norms=(1.0, 2.0),
        changes=(None, 1.0),
        transmissions=(0.5, 0.25),
        dead=(None, None),
        gradients=(3.0, 4.0),
        spreads=(msgspec.structs.replace(SPREAD, zeros=0), SPREAD),
    )
    series = SeriesFacts(checkpoints=("step_1.pt", "step_5.pt"), losses=(2.5, 1.5), layers={"net.0": trace})
    seen = read(tmp_path, msgspec.structs.replace(with_gradients(), series=series))
    assert [event.step for event in seen.Histograms("loss_gradient_log10/net.0")] == [1, 5]
    assert [event.step for event in seen.Scalars("transmission/net.0")] == [1, 5]
    assert seen.Scalars("transmission/net.0")[0].value == 0.5
    assert seen.Scalars("weight_norm/net.0")[0].value == 1.0
    assert seen.Scalars("loss_gradient/net.0")[0].value == 3.0
    assert [event.value for event in seen.Scalars("zero_gradients/net.0")] == [0.0, pytest.approx(0.2)]
    assert seen.Scalars("model/loss")[0].value == 2.5


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("step_2.pt", "step_10.pt"), [2, 10]),
        (("a.pt", "b.pt"), [0, 1]),
        (("step_2.pt", "last.pt"), [0, 1]),
        (("step_9.pt", "step_2.pt"), [0, 1]),
    ],
)
def test_steps_of_a_series(names: tuple[str, ...], numbers: list[int]) -> None:
    series = SeriesFacts(checkpoints=names, losses=(None,) * len(names), layers={})
    steps = tensorboard.steps(msgspec.structs.replace(with_gradients(), series=series))
    assert [step.number for step in steps] == numbers


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("step_100.pt", 100),
        ("runs/epoch=3-step=1200.ckpt", 1200),
        ("checkpoint-500/model.safetensors", 500),
        ("epoch12.pt", 12),
        ("0007.pt", 7),
        ("resnet18_step_300.pt", 300),
        ("resnet18.pt", None),
        ("model.pt", None),
        ("lr_0.001.pt", None),
        ("3f2a9c1b.pt", None),
        (f"step_{'9' * 30}.pt", None),
        ("package.nets:build", None),
    ],
)
def test_step_by_the_name(path: str, number: int | None) -> None:
    assert tensorboard.step_of(path) == number


@given(DIAGNOSES)
@few
def test_whatever_the_texts_and_numbers(tmp_path_factory: pytest.TempPathFactory, diagnosis: Diagnosis) -> None:
    series = diagnosis.series
    if series is not None:  # the lists of a real one have an entry a checkpoint
        diagnosis = msgspec.structs.replace(diagnosis, series=None)
    assert tensorboard.render(diagnosis) == tensorboard.render(diagnosis)
    seen = read(tmp_path_factory.mktemp("events"), diagnosis)
    for layer in diagnosis.layers:
        if layer.readings.transmission is not None:
            values = [event.value for event in seen.Scalars(f"transmission/{plain(layer.name) or '(model)'}")]
            assert any(_close(value, layer.readings.transmission) for value in values)


def _close(read: float, written: float) -> bool:
    if math.isnan(written):
        return math.isnan(read)
    if abs(written) > 3.4e38:
        return abs(read) > 3e38
    return read == pytest.approx(written, rel=1e-6, abs=1e-37)


def test_file_names_are_only_names(tmp_path: Path) -> None:
    series = SeriesFacts(checkpoints=("../../a b\x1b.pt", "ä.pt"), losses=(None, None), layers={})
    for name in tensorboard.render(msgspec.structs.replace(with_gradients(), series=series)):
        assert (tmp_path / name).parent == tmp_path
        assert name.isascii()
        assert name.isprintable()


def test_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="tensorboard") as caught:
        tensorboard.check_installed()
    assert caught.value.slug == "missing-extra"
    assert "gradcheck-cli[tensorboard]" in caught.value.hint
