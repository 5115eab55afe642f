"""The report for a person against golden pages, and what must hold of every page.

``GRADCHECK_REFRESH_GOLDEN=1 pytest tests/render`` writes the golden pages anew; read the difference before it is kept.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invented_diagnoses import INVENTED
from made_diagnoses import DIAGNOSES
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from gradcheck_cli.records import Diagnosis, Verdict
from gradcheck_cli.render import json_v1, plain_text, table

GOLDEN = Path(__file__).parent / "golden"
REFRESH = bool(os.environ.get("GRADCHECK_REFRESH_GOLDEN"))
CASES = [
    *((name, width, False) for name in INVENTED for width in (80, 140)),
    *((name, 40, False) for name in ("deep_sigmoid", "dead_relu", "hostile")),
    *((name, 100, True) for name in ("deep_sigmoid", "healthy_residual", "not_measured")),
]
some = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


class Latin(io.StringIO):
    """A page in memory that can show ASCII only."""

    encoding = "ascii"


def page(diagnosis: Diagnosis, width: int, file: io.StringIO | None = None, *, verbose: bool = False) -> str:
    file = file or io.StringIO()
    table.render(diagnosis, Console(file=file, width=width, _environ={}), verbose=verbose)
    return file.getvalue()


def compare(name: str, text: str) -> None:
    path = GOLDEN / name
    if REFRESH:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "width", "verbose"), CASES)
def test_golden_page(name: str, width: int, verbose: bool) -> None:
    text = page(INVENTED[name](), width, verbose=verbose)
    compare(f"{name}-{width}{'-verbose' if verbose else ''}.txt", text)
    assert max(map(cell_len, text.split("\n"))) <= width


def test_golden_page_in_colour() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system="standard", _environ={})
    table.render(INVENTED["dead_relu"](), console)
    compare("dead_relu-100-colour.txt", file.getvalue().replace("\x1b", "␛"))


@pytest.mark.parametrize("name", ["dead_relu", "hostile", "one_ill_in_sixty"])
def test_golden_page_in_ascii(name: str) -> None:
    text = page(INVENTED[name](), 80, Latin())
    assert text.isascii()
    compare(f"{name}-80-ascii.txt", text)


def test_golden_json() -> None:
    compare("dead_relu.json", json_v1.render(INVENTED["dead_relu"]()))


def test_every_golden_page_has_its_case() -> None:
    names = {f"{name}-{width}{'-verbose' if verbose else ''}.txt" for name, width, verbose in CASES}
    names |= {f"{name}-80-ascii.txt" for name in ("dead_relu", "hostile", "one_ill_in_sixty")}
    assert {path.name for path in GOLDEN.iterdir()} == names | {"dead_relu-100-colour.txt", "dead_relu.json"}


@given(DIAGNOSES, st.integers(40, 180), st.booleans(), st.booleans())
@some
def test_every_page_fits_and_prints(diagnosis: Diagnosis, width: int, ascii_only: bool, verbose: bool) -> None:
    text = page(diagnosis, width, Latin() if ascii_only else io.StringIO(), verbose=verbose)
    assert max(map(cell_len, text.split("\n"))) <= width
    assert text.replace("\n", "").isprintable()
    assert text.isascii() or not ascii_only
    assert not [line for line in text.split("\n") if line != line.rstrip(" ")]


@given(DIAGNOSES, st.integers(1, 39))
@some
def test_the_narrowest_page_does_not_fail(diagnosis: Diagnosis, width: int) -> None:
    assert page(diagnosis, width).startswith(page(diagnosis, 200)[0])


@pytest.mark.parametrize("name", INVENTED)
def test_colour_adds_only_colour(name: str) -> None:
    """The page without colours loses nothing but them: the verdict is never told by colour alone."""
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, no_color=True, color_system="truecolor", _environ={})
    table.render(INVENTED[name](), console)
    assert "\x1b[" in file.getvalue()
    assert Text.from_ansi(file.getvalue()).plain.split() == page(INVENTED[name](), 100).split()


@pytest.mark.parametrize("verdict", Verdict)
def test_the_first_line_says_the_verdict(verdict: Verdict) -> None:
    diagnosis = next(maker() for maker in INVENTED.values() if maker().verdict is verdict)
    first = page(diagnosis, 100).split("\n")[0]
    assert verdict.value.replace("-", " ").upper() in first
    assert diagnosis.summary.split()[0] in first


def test_verbose_shows_every_layer_finding_and_remedy() -> None:
    for name in ("deep_sigmoid", "healthy_residual", "thousand_layers", "not_measured"):
        diagnosis = INVENTED[name]()
        text = page(diagnosis, 140, verbose=True)
        for layer in diagnosis.layers:
            assert f" {layer.name} " in text
        for remedy in diagnosis.remedies:
            assert remedy.title in text
        for unknown in diagnosis.not_measured:
            assert unknown.what in text
        assert "⋮" not in text
        assert "--verbose" not in text


def test_no_more_than_a_screen_for_a_thousand_layers() -> None:
    assert page(INVENTED["thousand_layers"](), 80).count("\n") < 50


def test_plain_text_is_a_page_of_a_hundred_columns() -> None:
    assert plain_text.render(INVENTED["dead_relu"]()) == page(INVENTED["dead_relu"](), 100)
