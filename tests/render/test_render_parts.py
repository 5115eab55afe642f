"""Numbers, bars and folds: the parts of the page for a person."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from invented_diagnoses import INVENTED
from rich.cells import cell_len
from rich.console import Console

from gradcheck_cli.errors import UsageError
from gradcheck_cli.records import LayerReport, Verdict
from gradcheck_cli.render import bar, interface
from gradcheck_cli.render.fold import CULPRITS, SHORT, SHORTEST_FOLD, rows
from gradcheck_cli.render.glyphs import ASCII, UNICODE
from gradcheck_cli.render.numbers import count, number, percent, share, span
from gradcheck_cli.render.page import Page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (-0.0, "0"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (1.3e-12, "1.3e-12"),
        (1e-12, "1e-12"),
        (5e-324, "4.9e-324"),
        (0.42, "0.42"),
        (0.0042, "0.0042"),
        (0.00999, "0.010"),
        (0.0996, "0.10"),
        (0.996, "1.0"),
        (7.1, "7.1"),
        (9.96, "10"),
        (99.6, "100"),
        (423.4, "423"),
        (999.6, "1e+3"),
        (12_345.0, "1.2e+4"),
        (-7.1, "-7.1"),
        (1, "1.0"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@given(st.floats(-1.7e308, 1.7e308))
def test_number_is_short_and_right_to_two_digits(value: float) -> None:
    text = number(value)
    assert len(text.lstrip("-")) <= 8
    # 4.9e-324 is the least float there is: nearer it cannot be read back.
    assert float(text) == pytest.approx(value, rel=0.051, abs=1e-323)


@pytest.mark.parametrize(
    ("value", "units", "text"),
    [
        (None, None, "–"),
        (0.1875, 64, "12/64"),
        (1.0, 4, "4/4"),
        (0.19, None, "19 %"),
        (0.0001, None, "<1 %"),
        (0.999, None, ">99 %"),
        (math.nan, 3, "nan"),
        (1e37, 3, "1e+37"),
    ],
)
def test_share(value: float | None, units: int | None, text: str) -> None:
    assert share(value, units) == text


def test_percent_and_count_and_span() -> None:
    assert [percent(value) for value in (0.0, 0.5, 1.0)] == ["0 %", "50 %", "100 %"]
    assert [count(amount, "layer") for amount in (0, 1, 2048)] == ["0 layers", "1 layer", "2,048 layers"]
    assert span([1.2, 0.3]) == "0.30 to 1.2"
    assert span([0.301, 0.302]) == "0.30"
    assert span([1.0, math.nan]) == "nan"
    assert span([]) == "–"


@pytest.mark.parametrize("width", bar.WIDTHS)
@pytest.mark.parametrize("decade", range(-12, 7))
def test_bar_reaches_from_its_decade_to_one(width: int, decade: int) -> None:
    cells = bar.bar(10.0**decade, width, UNICODE, "red").plain
    here, one = round((decade + 12) * (width - 1) / 18), round(12 * (width - 1) / 18)
    assert len(cells) == width
    assert cells.index("●") == here
    between = cells[min(here, one) + 1 : max(here, one)]
    assert between == "━" * len(between)
    assert cells.count("━") == len(between)
    assert cells[one] == ("●" if decade == 0 else "┼")


@pytest.mark.parametrize(
    ("value", "drawn"),
    [
        (0.0, "<===========|--...."),
        (1e-300, "<===========|--...."),
        (1e-12, "o===========|--...."),
        (1.0, ".........---o--...."),
        (0.1, ".........--o|--...."),
        (100.0, ".........---|=o...."),
        (1e6, ".........---|=====o"),
        (math.inf, ".........---|=====>"),
        (math.nan, " " * 19),
        (None, " " * 19),
    ],
)
def test_bar_in_ascii(value: float | None, drawn: str) -> None:
    assert bar.bar(value, 19, ASCII, "red").plain == drawn


def test_spread_reaches_from_the_least_to_the_largest() -> None:
    assert bar.spread([1e-3, 1e-9, math.nan], 19, ASCII, "red").plain == "...o=====o--|--...."
    assert bar.spread([1e-3, 1e3], 19, ASCII, "red").plain == ".........o==|==o..."
    assert bar.spread([0.0, math.inf], 19, ASCII, "red").plain == "<===========|=====>"
    assert bar.spread([math.nan], 19, ASCII, "red").plain == " " * 19


@pytest.mark.parametrize("width", bar.WIDTHS)
def test_axis_stands_over_the_track(width: int) -> None:
    axis = bar.axis(width)
    assert len(axis) == width
    assert axis.startswith("1e-12")
    assert axis.endswith("1e+6")
    assert axis[bar.cell_of_one(width)] == "1"
    assert not {axis[bar.cell_of_one(width) - 1], axis[bar.cell_of_one(width) + 1]} - {" "}


LAYERS = st.lists(
    st.builds(
        LayerReport,
        name=st.just("x"),
        kind=st.just("Linear"),
        parameters=st.just(()),
        verdict=st.sampled_from([*Verdict, *[Verdict.HEALTHY] * 12]),
        culprit=st.booleans(),
    ),
    max_size=120,
)


@given(LAYERS)
def test_rows_hold_every_layer_once_and_fold_only_what_is_long(layers: list[LayerReport]) -> None:
    groups = rows(layers)
    assert [index for group in groups for index in group] == list(range(len(layers)))
    assert all(len(group) == 1 or len(group) >= SHORTEST_FOLD for group in groups)
    assert not layers or {len(groups[0]), len(groups[-1])} == {1}
    assert rows(layers, verbose=True) == [range(index, index + 1) for index in range(len(layers))]
    assert len(groups) <= 60


@given(LAYERS)
def test_the_first_culprits_are_never_folded(layers: list[LayerReport]) -> None:
    shown = {group[0] for group in rows(layers) if len(group) == 1}
    assert {index for index, layer in enumerate(layers) if layer.culprit and layer.verdict is not Verdict.HEALTHY} & {
        *[index for index, layer in enumerate(layers) if layer.culprit][:CULPRITS]
    } <= shown


def test_few_ill_layers_keep_their_rows_and_their_neighbours() -> None:
    healthy = INVENTED["healthy_residual"]().layers
    ill = msgspec.structs.replace(healthy[0], verdict=Verdict.VANISHING)
    layers = [ill if index in (20, 40, 41) else layer for index, layer in enumerate(healthy)]
    single = [group[0] for group in rows(layers) if len(group) == 1]
    assert single == [0, 19, 20, 21, 39, 40, 41, 42, 59]


def test_a_short_network_is_shown_whole() -> None:
    healthy = INVENTED["healthy_residual"]().layers
    assert len(rows(healthy[:SHORT])) == SHORT
    assert len(rows(healthy[: SHORT + 1])) == 3


@given(st.text(max_size=40), st.integers(0, 30), st.booleans())
def test_elided_names_fit(text: str, width: int, ascii_only: bool) -> None:
    page = Page(Console(width=80, _environ={}))
    elided = page.elide(page.name(text), width)
    assert cell_len(elided) <= width
    assert cell_len(page.name(text)) > width or elided == page.name(text)


def test_names_are_elided_in_the_middle() -> None:
    page = Page(Console(width=80, _environ={}))
    assert page.elide("encoder.layer.11.attention.self.query", 18) == "encod…n.self.query"
    assert page.names(["a", "b"], 3) == "a and b"
    assert page.names(["a", "", "c", "d"], 2) == "a, (model) and 2 more"
    assert page.names([], 2) == ""


def test_formats() -> None:
    diagnosis = INVENTED["dead_relu"]()
    for name in interface.FORMATS:
        assert interface.renderer(name).render(diagnosis).endswith("\n")
    with pytest.raises(UsageError, match="no report format 'pdf'"):
        interface.renderer("pdf")
