"""Whatever is in an ONNX file, the answer is one sentence or a diagnosis: never a crash, a hang or a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import hostile_bombs
import hostile_bytes
import hostile_external
import hostile_graphs
import hostile_tensors
import pytest
import torch
from hostile_case import CASES, DIAGNOSED, Case, honest, saved
from hostile_run import in_child, measured, warm_up
from onnx import helper

from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.loaders import inspect, load
from gradcheck_cli.loaders.onnx_model import check_functions
from gradcheck_cli.loaders.onnx_model.program import NodeError
from gradcheck_cli.onnx_ops import control_flow

assert {each.__name__ for each in (hostile_bombs, hostile_bytes, hostile_external, hostile_graphs, hostile_tensors)}


@pytest.fixture(scope="module", autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything is imported, and what is bounded is bounded a hundred times lower."""
    warm_up(saved(honest(), tmp_path_factory.mktemp("warm")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_flow, "MAX_ROUNDS", 200)
        patch.setattr(check_functions, "MAX_NODES", 2_000)
        yield


def test_the_real_bound_of_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_flow, "MAX_ROUNDS", 20_000)
    module = load(str(CASES["a-loop-of-2-62-rounds"].write(tmp_path))).module
    for _ in range(2):
        with pytest.raises(NodeError, match="more than 20000 times"):
            module(torch.ones(2, 4))
    few = saved(hostile_bombs.loop(19_999, [helper.make_node("Neg", ["s"], ["t"])]), tmp_path)
    assert load(str(few)).module(torch.ones(2, 4)).shape == (2, 4)


def test_there_are_many() -> None:
    assert len(CASES) >= 200
    assert sum(DIAGNOSED not in case.outcomes for case in CASES.values()) >= 120


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_it_is_refused_or_diagnosed(case: Case, tmp_path: Path) -> None:
    outcome = measured(case.write(tmp_path))
    assert outcome.what in case.outcomes, outcome
    if outcome.what == DIAGNOSED:
        return
    assert case.says in outcome.text
    assert outcome.status in (2, 3)
    assert outcome.text.isprintable()
    assert len(outcome.text) < 1500


def test_a_dead_loop_without_end_does_not_reach_the_runtime(tmp_path: Path) -> None:
    outcome = measured(CASES["a-loop-of-2-62-rounds-that-nobody-reads"].write(tmp_path))
    assert outcome.what == DIAGNOSED
    assert "not compared" not in outcome.text


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    data = bytes(honest().SerializeToString())

    def work() -> str:
        slugs = set()
        for size in range(1, len(data), 7):
            path = saved(data[:size], tmp_path)
            with contextlib.suppress(GradcheckError):
                inspect(str(path))
            try:
                load(str(path))
                slugs.add(f"loaded:{size}")
            except GradcheckError as error:
                slugs.add(error.slug)
        return " ".join(sorted(slugs))

    outcome = in_child(work)
    assert outcome.what == DIAGNOSED, outcome
    # Only where a field ends is the rest a message, and then it lacks its operators' versions or its graph.
    assert set(outcome.text.split()) <= {"truncated-file", "not-a-model", "damaged-file"}
