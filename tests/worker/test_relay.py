from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gradcheck_cli.worker.relay import LONGEST, Lines


def lines(*chunks: bytes) -> list[str]:
    cutter = Lines()
    return [line for chunk in chunks for line in cutter.feed(chunk)] + list(cutter.end())


def test_lines_come_when_they_are_complete() -> None:
    cutter = Lines()
    assert list(cutter.feed(b"one\ntw")) == ["one"]
    assert list(cutter.feed(b"o\n\nthree")) == ["two", ""]
    assert list(cutter.end()) == ["three"]
    assert list(cutter.end()) == []


def test_of_a_progress_bar_the_last_state_is_left() -> None:
    assert lines(b"10%\r50%\r100%\r\nnext\r\n") == ["100%", "next"]


def test_bytes_that_are_no_text() -> None:
    assert lines(b"a\xffb\n") == ["a\\xffb"]


def test_endless_line_takes_bounded_memory() -> None:
    cutter = Lines()
    count = sum(len(line) for _ in range(100) for line in cutter.feed(b"x" * 65536))
    assert count + sum(len(line) for line in cutter.end()) == 6553600
    assert len(cutter.tail) == LONGEST


@given(st.binary(), st.lists(st.integers(0, 100)))
def test_no_line_is_too_long_and_cuts_do_not_matter(data: bytes, cuts: list[int]) -> None:
    places = sorted(min(cut, len(data)) for cut in cuts)
    pieces = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    assert lines(*pieces) == lines(data)
