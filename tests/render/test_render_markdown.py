"""The Markdown page, rendered to HTML by markdown-it: what models say stays text."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invented_diagnoses import HOSTILE_NAMES, INVENTED
from made_diagnoses import DIAGNOSES, TEXTS
from markdown_it import MarkdownIt

from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import markdown
from gradcheck_cli.render.markdown_text import block, code, prose
from gradcheck_cli.text import plain

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {
    *("h2", "h3", "p", "strong", "code", "pre", "ul", "li", "sub", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Reader(HTMLParser):
    """Counts elements and gathers their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.cells: list[str] = []
        self.text = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        if tag in ("td", "th"):
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.cells[-1] += data


def read(text: str) -> Reader:
    return Reader(MARKDOWN.render(text))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_as_code_is_that_name_and_nothing_else(name: str) -> None:
    page = read(f"| {code(name)} | b |\n|---|---|\n")
    assert page.cells[0] == (plain(name) or "(no name)")
    assert set(page.tags) <= {"table", "thead", "tr", "th", "code"}


@given(TEXTS | st.text("ab1 .:;*_`~#@<>&|[]()!\\\n-+=wtph/", max_size=12))
@settings(max_examples=300, deadline=None)
def test_prose_is_that_text_and_nothing_else(text: str) -> None:
    said = " ".join(plain(text).split())
    for before in ("- ", "**b** ", ""):
        page = read(f"{before}{prose(said)}")
        assert page.text.strip().removeprefix("b ").strip() == (said if said or before != "**b** " else "b")
        assert set(page.tags) <= {"ul", "li", "p", "strong"}
    assert read(f"| {prose(said)} | b |\n|---|---|\n").cells == [said, "b"]


@pytest.mark.parametrize("text", ["http://evil", "www.evil.com", "@someone", "#12", ":smile:", "a@b.c"])
def test_what_forges_look_for_is_parted(text: str) -> None:
    raw = prose(text)
    assert not re.search(r"https?://|www\.|@\w|#\d(?!\d*;)|:\w+:", raw)
    assert read(raw).text.strip() == text


@given(st.text("`~ab \n\\", max_size=20))
@some
def test_no_code_closes_its_block(source: str) -> None:
    page = read(f"{block(source)}\n\nafter")
    assert page.tags == {"pre": 1, "code": 1, "p": 1}
    assert page.text.rstrip().removesuffix("after").strip("\n") == source.strip("\n")


@pytest.mark.parametrize("name", INVENTED)
def test_page_has_only_our_elements_and_every_ill_layer(name: str) -> None:
    diagnosis = INVENTED[name]()
    page = read(markdown.render(diagnosis))
    assert set(page.tags) <= OURS
    assert page.attributes <= {"class", "style"}
    assert page.text.count(" ".join(plain(diagnosis.summary).split())) == 1
    ill = [layer for layer in diagnosis.layers if layer.verdict.value in ("dead", "exploding", "vanishing")]
    for layer in ill[: markdown.MOST_ILL] if len(ill) <= markdown.MOST_ILL else ():
        assert (plain(layer.name) or "(no name)") in page.cells
    assert len(markdown.render(diagnosis)) < 65_536


@given(DIAGNOSES)
@some
def test_whatever_the_texts_they_stay_text(diagnosis: Diagnosis) -> None:
    text = markdown.render(diagnosis)
    text.encode()
    assert set(read(text).tags) <= OURS


def test_worst_come_first_healthy_are_folded_remedies_have_code() -> None:
    text = markdown.render(INVENTED["dead_relu"]())
    ill, _, rest = text.partition("### Remedies")
    assert ill.index("`net.3` | ReLU") < ill.index("`net.0` | Linear")
    assert "✖ dead (culprit)" in ill
    assert "victim of net.3" in ill
    assert "```python\nmodel.net[3] = torch.nn.LeakyReLU(0.1)\n```" in rest
    assert rest.index("<details>") < rest.index("`net.7`") < rest.index("</details>")
    many = markdown.render(INVENTED["thousand_layers"]())
    assert "| … | 450 more layers |" in many


def test_every_finding_of_a_hostile_model_is_on_one_line() -> None:
    diagnosis = INVENTED["hostile"]()
    more = msgspec.structs.replace(diagnosis, summary="a\n\n# b\n\n<script>x</script>")
    page = read(markdown.render(more))
    assert page.tags["h2"] == 1
    assert "script" not in page.tags
