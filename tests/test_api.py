"""The Python API as the contract shows it, on stages that only say that they were called."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

import gradcheck_cli as gradcheck
from gradcheck_cli import pipeline
from gradcheck_cli.errors import GradcheckError, UsageError
from gradcheck_cli.readings import Readings
from gradcheck_cli.records import Diagnosis, Request, Sample, Subject, Verdict

ROOT = Path(__file__).resolve().parents[1]
JUDGEMENT = SimpleNamespace(
    layers=(), findings=(), culprits=("fc",), verdict=Verdict.DEAD, summary="It is dead.", not_measured=(), ignored=()
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What was called, in order; the stages themselves are stood in for."""
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    module = nn.Linear(2, 2)

    def stand_in(package: str, name: str, result: Any) -> None:
        def called(*arguments: Any, **options: Any) -> Any:
            made.append((name, arguments, options))
            return result

        stage = sys.modules.get(package) or ModuleType(package)
        monkeypatch.setitem(sys.modules, package, stage)
        monkeypatch.setattr(stage, name, called, raising=False)

    subject = Subject(path="m.pt", format="torch-module", module=module, sha256="0", remarks=("a remark",))
    sample = Sample(batches=(), source="d.npz", loss_name="mse", loss=None)
    for package in ("loaders", "sample", "probe", "judge", "remedies"):
        __import__(f"gradcheck_cli.{package}")
    stand_in("gradcheck_cli.loaders", "load", subject)
    stand_in("gradcheck_cli.loaders", "adopt", subject)
    stand_in("gradcheck_cli.sample", "draw", sample)
    stand_in("gradcheck_cli.probe", "look", Readings(layers=(), parameters=6, loss=0.5, mode="eval"))
    stand_in("gradcheck_cli.judge", "judge", JUDGEMENT)
    stand_in("gradcheck_cli.remedies", "advise", ())
    return made


def test_stages_in_order_and_what_they_give(calls: list[Any]) -> None:
    diagnosis = gradcheck.diagnose("m.pt", data="d.npz", loss="mse", rehearse=0, seed=3, select=["GC1"], lr=0.1)
    assert [name for name, _, _ in calls] == ["load", "draw", "look", "judge", "advise"]
    options = {name: options for name, _, options in calls}
    assert options["draw"]["loss"] == "mse"
    assert options["draw"]["seed"] == options["look"]["seed"] == 3
    assert options["look"]["lr"] == 0.1
    assert options["judge"] == {"select": ("GC1",), "ignore": ()}
    assert isinstance(diagnosis, gradcheck.Diagnosis)
    assert (diagnosis.verdict, diagnosis.culprits) == (gradcheck.Verdict.DEAD, ("fc",))
    assert (diagnosis.model.path, diagnosis.model.parameters, diagnosis.model.remarks) == ("m.pt", 6, ("a remark",))
    assert (diagnosis.sample.source, diagnosis.sample.loss_value, diagnosis.sample.mode) == ("d.npz", 0.5, "eval")
    assert diagnosis.to_json().startswith("{")


def test_module_is_adopted_and_path_is_loaded(calls: list[Any]) -> None:
    module = nn.Linear(2, 2)
    gradcheck.diagnose(module, data=(torch.zeros(1, 2),))
    gradcheck.diagnose(Path("dir") / "m.pt", trust=True, arch="a:b")
    assert calls[0][:2] == ("adopt", (module,))
    (load,) = [call for call in calls if call[0] == "load"]
    assert load[1:] == (("dir/m.pt",), {"arch": "a:b", "trust": True})


def test_run_asks_for_all_of_a_request(calls: list[Any]) -> None:
    stages: list[tuple[str, int, int]] = []
    diagnosis = pipeline.run(Request(model="m.pt", mode="eval", batches=7), lambda *stage: stages.append(stage))
    assert isinstance(diagnosis, Diagnosis)
    assert calls[1][2]["batches"] == 7
    assert stages[0] == ("loading the model", 0, 0)


def test_options_and_defaults_are_those_of_the_command_line() -> None:
    parameters = inspect.signature(gradcheck.diagnose).parameters
    defaults = {name: p.default for name, p in parameters.items() if name not in ("model", "progress")}
    asked = msgspec.structs.asdict(Request(model=""))
    del asked["model"]
    assert defaults == asked


def test_a_negative_rehearsal_is_refused(calls: list[Any]) -> None:
    with pytest.raises(UsageError) as caught:
        gradcheck.diagnose(nn.Linear(2, 2), rehearse=-1)
    assert caught.value.slug == "wrong-option"
    assert calls == []


def test_load_gives_a_subject() -> None:
    with pytest.raises(GradcheckError):
        gradcheck.load("missing.pt")


def test_public_names_and_no_others() -> None:
    for name in gradcheck.__all__:
        assert getattr(gradcheck, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'diagnoze'"):
        gradcheck.diagnoze  # noqa: B018
