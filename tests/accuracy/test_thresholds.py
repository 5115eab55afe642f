"""Every threshold says what it was set from, and the benchmark that measures it finds what torch alone finds."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import labelled_path  # noqa: F401
import msgspec
import pytest
import thresholds
import torch
from accuracy.cases import EXPLODING, HEALTHY, Case, Problem
from torch import nn
from torch.nn import functional as F

from gradcheck_cli import config
from gradcheck_cli.config import Thresholds
from gradcheck_cli.rules import RULES

FIELDS = tuple(field.name for field in msgspec.structs.fields(Thresholds))
SAYS = ("Measured: ", "Definition: ")


def below(source: str) -> dict[str, str]:
    """Field → the string that stands right below it; empty where there is none."""
    body = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == Thresholds.__name__).body
    texts: dict[str, str] = {}
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign):
            after = body[place + 1] if place + 1 < len(body) else None
            string = after.value if isinstance(after, ast.Expr) else None
            text = ast.literal_eval(string) if isinstance(string, ast.Constant) else ""
            texts[ast.unparse(node.target)] = " ".join(text.split())
    return texts


def unfounded(source: str) -> list[str]:
    """Fields whose docstring names neither a measurement nor a definition."""
    return [name for name, text in below(source).items() if not any(word in text for word in SAYS)]


def test_every_threshold_says_what_it_was_set_from() -> None:
    source = Path(config.__file__).read_text()
    assert tuple(below(source)) == FIELDS
    assert unfounded(source) == []
    assert {name for name, text in below(source).items() if "Measured: " in text} == set(thresholds.USES)


def test_one_without_is_refused() -> None:
    source = Path(config.__file__).read_text()
    assert unfounded(source + "\n    bare: float = 1.0\n    said: float = 2.0\n    'A number.'\n") == ["bare", "said"]


def test_what_is_measured_exists() -> None:
    codes = {rule.code for rule in RULES}
    for use in thresholds.USES.values():
        assert {*use.rules, *use.rather} <= codes
        assert not use.along or use.along in FIELDS


@pytest.mark.parametrize(
    ("place", "direction"),
    [(3.7, thresholds.UP), (2e9, thresholds.UP), (0.3, thresholds.DOWN), (1e-9, thresholds.DOWN)],
)
def test_a_flip_is_found_where_it_is(place: float, direction: int) -> None:
    def changes(value: float) -> bool:
        return value > place if direction == thresholds.UP else value < place

    found = thresholds.flip(changes, 1.0, direction, thresholds.Use((), direction))
    assert found == pytest.approx(place, rel=0.011)
    assert changes(found or 0.0)


def test_a_flip_out_of_bounds_is_none() -> None:
    use = thresholds.Use((), thresholds.UP, most=1.0)
    assert thresholds.flip(lambda value: value > 1.0, 0.5, thresholds.UP, use) is None
    assert thresholds.flip(lambda value: value > 0.9, 0.5, thresholds.UP, use) == pytest.approx(0.9, rel=0.011)


def linear(lr: float) -> Problem:
    """One layer with squared error; far above 2/λ its first step already raises the loss."""
    torch.manual_seed(3)
    data, target = torch.randn(64, 6), torch.randn(64, 2)
    return Problem(nn.Linear(6, 2, bias=False), [(data,)], [target], F.mse_loss, "mse", lr)


def test_the_value_of_a_flip_is_what_the_rule_compares() -> None:
    problem = linear(lr=9.0)
    weight = problem.module.get_parameter("weight")
    assert problem.targets is not None
    (gradient,) = torch.autograd.grad(F.mse_loss(problem.module(*problem.batches[0]), problem.targets[0]), weight)
    update = 9.0 * float(gradient.norm() / weight.detach().norm())
    made = [
        Case("made/too-fast", "theory", lambda: linear(9.0), EXPLODING, "lr is above 2/λ"),
        Case("made/gentle", "theory", lambda: linear(0.05), HEALTHY, "lr is below 1/λ"),
    ]
    found = [each for each in map(thresholds.measured, made) if each is not None]
    spared, caught = thresholds.sides("relative_update", found)
    assert update > Thresholds().relative_update
    assert (caught.cases, caught.flips[0].case) == (1, "made/too-fast")
    assert caught.flips[0].value == pytest.approx(update, rel=0.011)
    assert (spared.cases, spared.flips) == (1, ())  # its loss falls
    said = thresholds.sentence("relative_update", spared, caught)
    assert "none is hit" in said
    assert "made/too-fast" in said


def test_writing_changes_docstrings_alone(tmp_path: Path) -> None:
    page = tmp_path / "config.py"
    page.write_text(Path(config.__file__).read_text())
    thresholds.write({"vanishing": "Measured: once."}, page)
    thresholds.write({"vanishing": "Measured: " + "again " * 40 + "twice."}, page)
    before, after = below(Path(config.__file__).read_text()), below(page.read_text())
    assert [name for name in FIELDS if before[name] != after[name]] == ["vanishing"]
    assert after["vanishing"].count("Measured: ") == 1
    assert after["vanishing"].endswith("again twice.")
    assert max(map(len, page.read_text().splitlines())) <= 132
    written = runpy.run_path(str(page))["Thresholds"]()
    assert msgspec.structs.asdict(written) == msgspec.structs.asdict(Thresholds())
