"""One table: every format that can hold a network gives the verdict, the layers and the readings of the module itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from format_files import BARE, exported, pickled, scripted, traced
from format_networks import LANGUAGE, NETWORKS, language, of_torch_alone

from gradcheck_cli import pipeline
from gradcheck_cli.errors import ModelError
from gradcheck_cli.records import Diagnosis


def _sample(kind: str) -> torch.Tensor:
    return torch.randn(NETWORKS[kind][1], generator=torch.Generator().manual_seed(1))


@functools.cache
def _expected(kind: str) -> Diagnosis:
    return pipeline.diagnose(NETWORKS[kind][0](), _sample(kind), rehearse=0)


IMPOSSIBLE = {
    ("module", "lstm"): "a forward of the user's own: it is not made of torch.nn's classes alone",
    ("module", "lstm_state"): "the same",
}
"""The only cells that are empty, and why."""
PROGRAMS = ("exported", "trusted-exported", "scripted", "traced")
FORMATS = (*BARE, "module", "trusted-module", *PROGRAMS, "entry-point", "entry-file")


def _saved(form: str, kind: str, folder: Path) -> str | Path:
    """What to pass to `diagnose` for a network in a format."""
    module, sample = NETWORKS[kind][0](), _sample(kind)
    if form == "entry-point":
        return f"format_networks:{kind}"
    if form == "entry-file":
        (folder / "nets.py").write_text(f"from format_networks import {kind} as build\n")
        return f"{folder / 'nets.py'}:build"
    if form in BARE:
        return BARE[form](module, folder)
    if form == "scripted":
        return scripted(module, folder)
    if form in PROGRAMS:
        return (traced if form == "traced" else exported)(module, folder, sample)
    return pickled(module if form == "trusted-module" else of_torch_alone(module), folder)


def _options(form: str, kind: str) -> dict[str, Any]:
    options: dict[str, Any] = {"arch": f"format_networks:scrambled_{kind}"} if form in BARE else {}
    if form in PROGRAMS:
        options["batch_size"] = len(_sample(kind))  # the size that it was exported with
    return options | {"trust": form.startswith("trusted") or form in ("scripted", "traced")}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("form", "kind"), [(form, kind) for form in FORMATS for kind in NETWORKS if (form, kind) not in IMPOSSIBLE]
)
def test_the_format_changes_nothing(form: str, kind: str, tmp_path: Path) -> None:
    assert _expected(kind).verdict.value == NETWORKS[kind][2]
    found = pipeline.diagnose(_saved(form, kind, tmp_path), _sample(kind), rehearse=0, **_options(form, kind))
    _assert_alike(found, _expected(kind))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("form", "kind"), IMPOSSIBLE)
def test_what_is_said_to_be_impossible_is(form: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises((ModelError, RuntimeError)):
        pipeline.diagnose(_saved(form, kind, tmp_path), _sample(kind), rehearse=0, **_options(form, kind))


def _whole(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)


def _shards(model: Any, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="12KB")
    assert (folder / "model.safetensors.index.json").exists()


def _bin(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


@pytest.mark.parametrize("save", [_whole, _shards, _bin])
@pytest.mark.parametrize("kind", LANGUAGE)
def test_hugging_face_directories_change_nothing(save: Callable[[Any, Path], None], kind: str, tmp_path: Path) -> None:
    """The classes of transformers hold other networks than those above: a healthy, a dead and a vanishing transformer."""
    words = torch.randint(0, 31, (16, 5), generator=torch.Generator().manual_seed(1))
    model = language(kind)
    save(model, tmp_path)
    expected = pipeline.diagnose(model, {"input_ids": words}, rehearse=0)
    assert expected.verdict.value == kind
    _assert_alike(pipeline.diagnose(tmp_path, {"input_ids": words}, rehearse=0), expected)


def _assert_alike(found: Diagnosis, expected: Diagnosis) -> None:
    assert (found.verdict, found.culprits) == (expected.verdict, expected.culprits)
    assert _layers(found) == _layers(expected)
    for layer, other in zip(found.layers, expected.layers, strict=True):
        assert layer.parameters == other.parameters
        _assert_close(msgspec.to_builtins(layer.readings), msgspec.to_builtins(other.readings), layer.name)


def _layers(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(layer.name, layer.verdict.value) for layer in diagnosis.layers]


def _assert_close(found: dict[str, float], expected: dict[str, float], name: str) -> None:
    assert found.keys() == expected.keys(), name
    for reading, value in expected.items():
        # A gradient that is zero by structure is seen as rounding noise, which any other order of sums changes.
        assert math.isclose(found[reading], value, rel_tol=1e-5, abs_tol=1e-9), (name, reading)
