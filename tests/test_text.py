from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradcheck_cli.text import inert, plain

ANYTHING = st.text(st.characters(exclude_categories=()))


@given(ANYTHING)
def test_result_prints_on_one_line(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert plain(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Mn"], include_characters=" ")))
def test_printable_text_is_unchanged(text: str) -> None:
    assert not text.isprintable() or plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("layer1.0.conv1", "layer1.0.conv1"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202egnp", "\\u202egnp"),
        ("a\u200bb\u2028c\x85d", "a\\u200bb\\u2028c\\x85d"),
        ("caf\xe9 слой 层", "caf\xe9 слой 层"),
        ("name\udcff.pt", "name\\udcff.pt"),
        ("C:\\new", "C:\\new"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", "\\x3a:error::x"),
        ("  ::error::x", "  \\x3a:error::x"),
        ("a ::b::c", "a \\x3a:b::c"),
        ("x\n::error::", "x\\n::error::"),
        ("##[error]x", "\\x23#[error]x"),
        ("a##vso[task.x]", "a\\x23#vso[task.x]"),
        ("##teamcity[x]", "\\x23#teamcity[x]"),
        ("package.nets::build", "package.nets::build"),
        ("## heading ##", "## heading ##"),
        ("x[::2]", "x[::2]"),
        ("a: b", "a: b"),
    ],
)
def test_commands_to_build_services(text: str, shown: str) -> None:
    assert inert(text) == shown


@given(st.text(st.sampled_from(":# \n[vso\u2003\x85e"), max_size=12))
def test_no_line_is_a_command(text: str) -> None:
    shown = inert(text)
    assert not any(word.startswith("::") for word in shown.split())
    assert "##[" not in shown
    assert "##vso[" not in shown
