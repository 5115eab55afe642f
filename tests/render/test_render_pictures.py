"""The pictures of the README: there, light, and without a request to anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "benchmarks" / "pictures"


def test_readme_opens_with_both() -> None:
    shown = re.findall(r"!\[([^\]]{40,})\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert [path for _, path in shown] == ["benchmarks/pictures/terminal.svg", "benchmarks/pictures/page.png"]
    assert all((ROOT / path).is_file() for _, path in shown)


def test_terminal_is_one_file_with_the_report_as_text() -> None:
    source = (PICTURES / "terminal.svg").read_text(encoding="utf-8")
    tree = ElementTree.fromstring(source)
    text = "".join(tree.itertext()).replace("\xa0", " ")
    for words in ("gradcheck diagnose sample_models/digits_broken.pt", "DEAD", "32 of 32 units never fire", "Remedies"):
        assert words in text
    assert not re.search(r"url\((?!#)|@import|@font-face|<image|href=\"(?!#)", source)
    assert len(source.encode()) < 100_000


def test_page_is_a_picture_of_less_than_300_kb() -> None:
    data = (PICTURES / "page.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    assert len(data) < 300_000
