"""The page as a parser sees it: whole, self-contained, inert whatever models say, and telling all that the run holds."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import html_pages
import msgspec
import pytest
from hostile.names import RAW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invented_diagnoses import INVENTED
from made_diagnoses import DIAGNOSES

from gradcheck_cli.assemble import ranges
from gradcheck_cli.compare import compare
from gradcheck_cli.records import (
    Diagnosis,
    GradientFacts,
    LayerReadings,
    LayerReport,
    SampleFacts,
    Spread,
    UnitFacts,
    Verdict,
)
from gradcheck_cli.render import html, json_v1
from gradcheck_cli.render.html import chart, flow, safe, scale, spread, units

some = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
VOID = {"meta", "link", "br", "input", "wbr", "img"}
SHAPES = {"path", "circle", "rect", "line", "use"}
OURS = {
    *(
        "html",
        "head",
        "title",
        "style",
        "body",
        "a",
        "nav",
        "ul",
        "ol",
        "li",
        "button",
        "main",
        "header",
        "section",
        "footer",
    ),
    *("p", "span", "b", "i", "small", "code", "pre", "h1", "h2", "h3", "dl", "dt", "dd", "div", "figure", "figcaption"),
    *("details", "summary", "table", "caption", "thead", "tbody", "tr", "th", "td", "label", "script"),
    *("svg", "g", "defs", "pattern", "text"),
}
FETCHING = {"src", "srcset", "data", "action", "formaction", "poster", "background", "cite", "ping", "style", "srcdoc"}


class Page(HTMLParser):
    """Elements with their attributes and their text; complains about what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.said = ""
        self.comments = 0
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), tag
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.comments += 1

    def handle_data(self, data: str) -> None:
        self.said += data
        for tag in {*self.open}:
            self.texts[tag][-1] += data

    @property
    def tags(self) -> Counter[str]:
        return Counter(tag for tag, _ in self.elements)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def inert(page: Page) -> None:
    """No element, attribute or address that is not the page's own."""
    assert set(page.tags) <= OURS | SHAPES | VOID - {"img"}
    assert page.comments == 0
    for tag, attributes in page.elements:
        assert not FETCHING & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        target = attributes.get("href")
        if target is not None:
            assert target.startswith("#") or (tag, target) == ("link", "data:,")
    kinds = Counter(attributes.get("type") for attributes in page.of("script"))
    assert kinds[None] in (1, 2)
    assert set(kinds) <= {None, "application/json"}


@given(DIAGNOSES)
@some
def test_any_diagnosis_gives_a_whole_inert_page(diagnosis: Diagnosis) -> None:
    text = html.render(diagnosis)
    text.encode()
    assert text.endswith("</html>\n")
    assert not [char for char in RAW if char in text]
    page = Page(text)
    inert(page)
    assert len(page.of("tr")) == (len(diagnosis.layers) + 1 if diagnosis.layers else 0)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    inner = {f"#{ident}" for ident in ids}
    assert {attributes["href"] for attributes in page.of("a")} <= inner
    assert html.render(diagnosis) == text


def test_attacks_stay_text() -> None:
    page = Page(html.render(html_pages.attacked()))
    inert(page)
    assert "<script>alert(1)</script>" in page.said
    assert "onload='alert(1)'" in page.said


def test_a_kept_run_gives_the_same_page() -> None:
    for diagnosis in (html_pages.everything(), html_pages.attacked()):
        read = json_v1.parse(json_v1.render(diagnosis))
        assert html.render(read) == html.render(diagnosis)


@given(st.text(st.characters(exclude_categories=())), st.text())
@some
def test_data_cannot_end_its_script(one: str, other: str) -> None:
    value = {one: [other, None, 1.5]}
    written = safe.data(value)
    assert json.loads(written) == value
    assert not re.search(r"[<>&\u2028\u2029]|[^ -~]", written)


def test_names_that_are_endless_are_cut_and_empty_ones_named() -> None:
    assert len(safe.elided("x" * 100_000, 96)) == 96
    assert safe.name("") == "(model)"
    assert safe.text("a" + "\u0301" * 500) == "a" + "\u0301" * 4, "marks would be drawn over other lines"
    assert safe.text("e\u0301 漢") == "e\u0301 漢"
    assert len(html.render(html_pages.attacked())) < 3_000_000


# ---------------------------------------------------------------------------------------------------- what it tells


def test_policy_allows_exactly_what_is_there() -> None:
    text = html.render(html_pages.everything())
    page = Page(text)
    policy = next(each["content"] for each in page.of("meta") if each.get("http-equiv"))
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    for kind, contents in (("script-src", scripts), ("style-src", styles)):
        hashes = " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in contents
        )
        assert f"{kind} {hashes};" in policy
    assert policy.startswith("default-src 'none';")
    assert "Permission is hereby granted" in scripts[0]
    assert text.index("Content-Security-Policy") < text.index("<title>")


def test_sections_come_in_order_and_only_where_there_is_something() -> None:
    def sections(page: Page) -> list[str | None]:
        return [each["id"] for each in page.of("section")]

    order = [
        "flow",
        "remedies",
        "units",
        "rehearsal",
        "time",
        "run",
        "initialisations",
        "layers",
        "codes",
        "ignored",
        "unknown",
        "reading",
    ]
    assert sections(Page(html.render(html_pages.everything()))) == order
    assert sections(Page(html.render(html_pages.everything(), html_pages.before()))) == ["change", *order]
    assert sections(Page(html.render(INVENTED["no_layers"]()))) == ["reading"]
    assert len(Page(html.render(INVENTED["no_layers"]())).of("script")) == 1, "no curves, no library"


def test_verdict_culprit_and_facts_come_first() -> None:
    diagnosis = INVENTED["deep_sigmoid"]()
    page = Page(html.render(diagnosis))
    assert page.tags["h1"] == 1
    assert page.texts["h1"] == [diagnosis.summary]
    told = page.texts["header"][0]
    for fact in ("▼ vanishing", "deep_sigmoid.pt", "21,601 parameters", "128 samples of", "bce, 0.69"):
        assert fact in told
    named = msgspec.structs.replace(diagnosis, summary="net.27: the signal fades")
    assert '<a href="#l27"><code>net.27</code></a>: the signal fades' in html.render(named)


def test_made_up_samples_are_said_to_be() -> None:
    sample = SampleFacts(source="synthetic", samples=8, loss="none")
    diagnosis = msgspec.structs.replace(INVENTED["deep_sigmoid"](), sample=sample)
    assert "8 made-up samples, not your data" in html.render(diagnosis)


def test_rows_hold_the_readings_the_findings_and_the_manual_of_every_code() -> None:
    page = html.render(html_pages.everything())
    row = re.search(r'<tr id="l27".*?</tr>', page, re.DOTALL)
    assert row is not None
    for part in (
        "net.<wbr>27",
        "Sigmoid",
        "▼ vanishing",
        "culprit",
        "shrinks by 0.14",
        "97 % sure",
        'href="#rule-GC101"',
    ):
        assert part in row[0]
    for code in ("GC101", "GC103", "GC907"):
        assert page.count(f'<details id="rule-{code}">') == 1
    assert "What it measures." in page


def test_unknown_codes_are_said_to_be() -> None:
    diagnosis = html_pages.everything()
    finding = msgspec.structs.replace(diagnosis.findings[0], code="GC999")
    assert "is not known to this gradcheck" in html.render(msgspec.structs.replace(diagnosis, findings=(finding,)))


def test_not_measured_gives_its_reason() -> None:
    page = html.render(html_pages.everything())
    assert "<b>relative updates</b>, because it needs a learning rate; give --lr" in page
    assert "not a clean bill of health" in page


def test_remedies_link_to_their_layers_and_keep_their_code() -> None:
    page = Page(html.render(INVENTED["deep_sigmoid"]()))
    assert "for index in range(1, 40, 2):\n    model.net[index] = torch.nn.ReLU()" in page.texts["code"]
    assert [each["data-copies"] for each in page.of("button") if "data-copies" in each] == [
        f"code-{at}" for at in range(4)
    ]


# ------------------------------------------------------------------------------------------------------- the pictures


def _layers(*transmissions: float | None, verdict: Verdict = Verdict.DEAD) -> tuple[LayerReport, ...]:
    return tuple(
        LayerReport(
            name=f"n{place}", kind="Linear", parameters=(), verdict=verdict, readings=LayerReadings(transmission=value)
        )
        for place, value in enumerate(transmissions)
    )


def _marks(*transmissions: float | None) -> list[float]:
    diagnosis = msgspec.structs.replace(INVENTED["no_layers"](), layers=_layers(*transmissions))
    return [float(y) for y in re.findall(r'<use href="#m-dead" x="[\d.]+%" y="([\d.]+)"', flow.picture(diagnosis))]


def test_flow_is_logarithmic_and_drops_nothing() -> None:
    one, small, smaller, zero, infinite, nothing, nan = _marks(1.0, 1e-4, 1e-8, 0.0, math.inf, None, math.nan)
    assert small - one == pytest.approx(smaller - small, abs=0.2)
    assert infinite == nan < one < smaller < zero
    assert nothing > smaller
    assert len(_marks(*[1e-3] * 40)) == 40


def test_flow_gives_a_place_to_every_layer_however_many() -> None:
    for verdict in (Verdict.HEALTHY, Verdict.VANISHING):
        for many in (3, 1000, 5000):
            layers = _layers(*[0.1] * many, verdict=verdict)
            picture = flow.picture(msgspec.structs.replace(INVENTED["no_layers"](), layers=layers))
            assert picture.count("<use") + len(re.findall(r"M[\d.]+ [\d.]+h0", picture)) == many
            assert picture.count("<use") <= flow.MOST_SHAPES


def test_flow_says_which_layer_is_the_culprit() -> None:
    picture = flow.picture(html_pages.everything())
    assert "culprit: net.27" in picture
    assert picture.count('class="ring"') == 1


def _map(page: str, layer: str) -> str:
    found = [each for each in re.findall(r"<div><p>.*?</svg>", page, re.DOTALL) if f"><code>{layer}</code>" in each]
    assert len(found) == 1
    return str(found[0])


def _cells(told: str) -> list[int]:
    """Places of the cells of one row that are off; a stroke covers neighbours."""
    strokes = [(int(x), int(width)) for x, width in re.findall(r"M(\d+) \d+h(\d+)", told)]
    return [cell for x, width in strokes for cell in range(x // units.CELL, (x + width) // units.CELL + 1)]


def test_units_stand_at_their_places_once_for_layer_and_activation() -> None:
    diagnosis = html_pages.everything()
    anchors = safe.Anchors(diagnosis)
    first = _map(units.section(diagnosis, anchors), "net.1")
    assert "3 of 20 dead" in first
    assert "after" in first
    assert _cells(first) == [1, 4, 7]
    older = units.section(msgspec.structs.replace(diagnosis, units={}), anchors)
    assert _cells(_map(older, "net.1")) == [1, 4, 7], "as the finding names them"
    neither = units.section(msgspec.structs.replace(diagnosis, units={}, findings=()), anchors)
    assert _cells(_map(neither, "net.1")) == [0, 1, 2]
    assert "in no order" in _map(neither, "net.1")


@given(st.sets(st.integers(0, 700)))
@some
def test_units_that_are_kept_come_to_their_cells(off: set[int]) -> None:
    layer = LayerReport(
        name="act",
        kind="ReLU",
        parameters=(),
        verdict=Verdict.HEALTHY,
        readings=LayerReadings(units=701, seen=9, dead_units=len(off) / 701),
    )
    facts = {"act": UnitFacts(units=701, dead=ranges(off), saturated="")}
    diagnosis = msgspec.structs.replace(INVENTED["no_layers"](), layers=(layer,), units=facts)
    told = units.section(diagnosis, safe.Anchors(diagnosis))
    assert "in no order" not in told
    rows = re.findall(r"M(\d+) (\d+)h(\d+)", told.partition('<svg class="cells')[2])
    cells = {
        int(y) // units.CELL * units.COLUMNS + cell
        for x, y, width in rows
        for cell in range(int(x) // units.CELL, (int(x) + int(width)) // units.CELL + 1)
    }
    assert cells == {unit // 2 for unit in off}, "a cell is two units"


@pytest.mark.parametrize("told", ["", "0-1", "3-1", "0-2,2", "18-20", "0,1,2,3", "x", "9" * 5000, "0-" + "9" * 15])
def test_units_that_do_not_add_up_are_in_no_order(told: str) -> None:
    diagnosis = html_pages.everything()
    facts = {"net.1": UnitFacts(units=20, dead=told, saturated="")}
    page = units.section(msgspec.structs.replace(diagnosis, units=facts), safe.Anchors(diagnosis))
    assert "in no order" in _map(page, "net.1")


def test_wide_layers_share_cells() -> None:
    told = _map(units.section(html_pages.everything(), safe.Anchors(html_pages.everything())), "net.3")
    assert "57,000 of 100,000 saturated" in told
    assert "(a cell is 196 units)" in told
    paths = dict(re.findall(r'<path(?: class="(q\d)")? d="([^"]*)"', told))
    assert {level: len(_cells(path)) for level, path in paths.items()} == {"": 204 + 87, "q1": 1}, "16 of 196 are paler"
    rows, rest = (int(height) for height in re.findall(r'<rect[^>]*height="(\d+)"', told))
    assert rows // 10 * 32 < math.ceil(100_000 / 196) <= rows // 10 * 32 + 32
    assert rest == units.CELL


def _curves(page: str) -> dict[str, dict[str, Any]]:
    found = re.findall(r'<figure class="chart" id="([\w-]+)">.*?class="curves">(.*?)</script>', page, re.DOTALL)
    return {ident: json.loads(data) for ident, data in found}


def _values(chart: dict[str, Any]) -> list[list[float | None]]:
    """What the script makes of a chart's data: on a log axis they are decades."""
    return [[10**value if chart["log"] and value is not None else value for value in curve] for curve in chart["y"]]


def test_curves_hold_what_the_run_holds() -> None:
    diagnosis = html_pages.everything()
    curves = _curves(html.render(diagnosis))
    shown = {name: _values(each) for name, each in curves.items()}
    assert set(curves) == {
        f"chart-{name}"
        for name in ("loss", "norms", "updates", "time", "run-loss", "run-norms", "run-flow", "run-dead")
    }
    loss = curves["chart-loss"]
    assert loss["y"][0][:4] == [0.9, 0.8, 0.85, 0.7]
    assert loss["y"][0][4] == loss["infinite"]
    assert loss["y"][0][5] is None
    norms = curves["chart-norms"]["y"][2]
    assert norms == pytest.approx([1.02**step for step in range(7)], abs=5e-3), "to a pixel"
    updates = shown["chart-updates"]
    assert curves["chart-updates"]["y"][0] == [curves["chart-updates"]["zero"]] * 6
    assert updates[3] == pytest.approx([1e-3] * 6, rel=1e-2)
    time = shown["chart-time"][0]
    assert time[:2] == pytest.approx([1.0, 0.3], rel=1e-2)
    assert curves["chart-time"]["y"][0][2] == curves["chart-time"]["zero"]
    assert curves["chart-run-loss"]["y"] == [[1.0, None, 0.5]]


def test_many_layers_and_points_are_thinned_with_a_word() -> None:
    page = html.render(html_pages.deep())
    assert "A line a layer, 60 of 500; the JSON report has all" in page
    culprit = html_pages.deep().culprits[0]
    assert all(len(each["y"]) <= 60 for each in _curves(page).values())
    assert culprit in page
    places = chart.thinned(10_001, 200)
    assert (len(places), places[0], places[-1]) == (200, 0, 10_000)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5), st.booleans())
@some
def test_axes_hold_their_values_and_a_few_ticks(values: list[float], log: bool) -> None:
    positive = [abs(value) for value in values if value and abs(value) > 1e-300]
    axis = (
        scale.decades(positive, 200.0)
        if log
        else scale.linear([value for value in values if abs(value) < 1e300], 200.0)
    )
    for value in positive if log else [value for value in values if abs(value) < 1e300]:
        assert -1 <= axis.place(value) <= 201
    ticks = axis.ticks()
    assert len(ticks) <= 12
    assert [value for value, _ in ticks] == sorted({value for value, _ in ticks})


def test_flow_shows_the_baseline_behind() -> None:
    now, was = html_pages.everything(), html_pages.before()
    assert 'class="course before"' not in flow.picture(now)
    picture = flow.picture(now, was)
    course = re.search(r'class="course before" d="([^"]*)"', picture)
    assert course is not None
    places = re.findall(r"[ML]([\d.]+) ([\d.]+)", course[1])
    missing = next(at for at, layer in enumerate(now.layers) if layer.name == "net.5")
    assert [float(x) - 0.5 for x, _ in places] == [at for at in range(len(now.layers)) if at != missing]
    assert len({y for _, y in places}) == 1, "T = 0.5 everywhere"
    assert "in the baseline" in picture


# --------------------------------------------------------------------------------------------------------- against one


def test_a_baseline_makes_the_headline() -> None:
    now, was = html_pages.everything(), html_pages.before()
    page = Page(html.render(now, was))
    assert page.texts["h1"] == [f"Layer {compare(was, now).summary}."]
    assert "was ✔ healthy in the baseline" in page.texts["header"][0]
    assert f"Now: {now.summary[:30]}" in page.texts["header"][0]


def test_changes_are_listed_with_links_and_marked_in_the_table() -> None:
    now, was = html_pages.everything(), html_pages.before()
    text = html.render(now, was)
    comparison = compare(was, now)
    section = re.search(r'<section id="change".*?</section>', text, re.DOTALL)
    assert section is not None
    for kind, changes in (("worse", comparison.worse), ("better", comparison.better), ("gone", comparison.gone)):
        part = re.search(rf'<div class="change {kind}">.*?</div>', section[0], re.DOTALL)
        assert part is not None
        assert {change.layer for change in changes} == set(re.findall(r"<code>([\w.]+)</code>", part[0]))
    assert "<b>healthy → vanishing</b>" in section[0]
    assert "<b>gone, was healthy</b>" in section[0]
    marked = {
        layer: kind
        for kind, layer in re.findall(r'data-change="(\w+)"><td>\d+</td><th[^>]*><code>([^ ]*)</code>', text)
    }
    assert {name.replace("<wbr>", ""): kind for name, kind in marked.items()} == {
        layer: kind for layer, kind in comparison.kinds().items() if kind != "gone"
    }
    assert "<small>was healthy</small>" in text
    assert "<small>new</small>" in text


def test_a_baseline_that_is_the_same_changes_nothing() -> None:
    diagnosis = INVENTED["deep_sigmoid"]()
    page = Page(html.render(diagnosis, diagnosis))
    assert page.texts["h1"] == ["No layer got worse or better."]
    assert not [each for each in page.of("tr") if "data-change" in each]


@given(DIAGNOSES, DIAGNOSES)
@some
def test_any_baseline_gives_a_whole_inert_page(diagnosis: Diagnosis, baseline: Diagnosis) -> None:
    inert(Page(html.render(diagnosis, baseline)))


def test_attacks_of_a_baseline_stay_text() -> None:
    inert(Page(html.render(html_pages.everything(), html_pages.attacked())))
    inert(Page(html.render(html_pages.attacked(), html_pages.everything())))


# ------------------------------------------------------------------------------------------------------------ details


def test_what_is_ignored_gives_its_reason_in_its_place_and_in_the_row() -> None:
    text = html.render(html_pages.everything())
    assert re.search(r'<section id="ignored".*ignored, because by design</li>', text, re.DOTALL)
    row = re.search(r'<tr id="l1".*?</tr>', text, re.DOTALL)
    assert row is not None
    assert '<a href="#rule-GC103">GC103</a> ignored, because by design: …' in row[0]
    silent = msgspec.structs.replace(html_pages.everything().ignored[0], reason="")
    assert "ignored, no reason given" in html.render(
        msgspec.structs.replace(html_pages.everything(), ignored=(silent,))
    )


def test_rows_hold_a_histogram_of_their_gradient() -> None:
    text = html.render(html_pages.everything())
    row = re.search(r'<tr id="l0".*?</tr>', text, re.DOTALL)
    assert row is not None
    # 2^-21 to 2^-17; 28 of 100 are not 0, and the middle one of them is in the third bin.
    assert "elements of ∂L/∂W around 2.7e-6" in row[0]
    assert re.search(r'4.8e-7<svg width="24".*7.6e-6 · 72 % exactly 0', row[0])
    assert text.count('class="spread"') == len([each for each in html_pages.everything().layers if each.parameters])


def test_a_gradient_of_zeros_is_said_to_be() -> None:
    facts = GradientFacts(of="outputs", layers={"net.0": Spread(lowest=0, counts=(), zeros=9)})
    text = html.render(msgspec.structs.replace(html_pages.everything(), gradients=facts))
    assert '<p class="spread">elements of ∂(v·out)/∂W are all exactly 0</p>' in text


def test_histograms_are_left_out_of_long_models() -> None:
    layers = {f"n{at}": Spread(lowest=0, counts=(1,), zeros=0) for at in range(301)}
    facts = GradientFacts(of="loss", layers=layers)
    assert 'class="spread"' not in html.render(msgspec.structs.replace(html_pages.everything(), gradients=facts))


@pytest.mark.parametrize(
    ("counts", "zeros", "told"),
    [((), 0, ""), ((0, 0), 3, ""), ((0, 4, 0, 2, 0), 0, '1.0<svg width="18"')],
)
def test_histograms_of_little(counts: tuple[int, ...], zeros: int, told: str) -> None:
    drawn = spread.histogram(Spread(lowest=0, counts=counts, zeros=zeros))
    assert drawn.startswith(told)
    if "svg" in drawn:
        assert "M0 24V0h6V24h6V12h6V24z" in drawn
        assert drawn.rstrip().endswith("8.0")


# --------------------------------------------------------------------------------------------------------------- size


def test_pages_are_small() -> None:
    assert len(html.render(INVENTED["dead_relu"]()).encode()) < 100_000
    rehearsed = msgspec.structs.replace(html_pages.everything(), series=None)
    assert len(html.render(rehearsed).encode()) < 150_000
    assert len(html.render(html_pages.deep(1000)).encode()) < 1_500_000


def test_the_library_is_vendored_with_its_licence() -> None:
    assets = Path(html.__file__).parent / "assets"
    library = (assets / "uplot.min.js").read_text(encoding="utf-8")
    assert library.startswith("/*! https://github.com/leeoniya/uPlot (v1.6.32) */")
    assert "Leon Sorokin" in (assets / "uplot.LICENSE.txt").read_text(encoding="utf-8")


def test_importing_the_renderer_imports_nothing_heavy() -> None:
    code = "import gradcheck_cli.render.html, sys; print({'torch', 'numpy', 'onnx'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
