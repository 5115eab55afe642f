"""The pictures that the README opens with, made from the tool itself: ``make pictures``.

    python benchmarks/pictures.py

``terminal.svg`` is what `gradcheck diagnose` shows on a terminal of 100 columns, exported by rich; ``page.png`` is the page
of the same run in a headless Chromium, and is left as it is where there is none.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

import msgspec
import torch
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from gradcheck_cli import diagnose
from gradcheck_cli.records import Diagnosis
from gradcheck_cli.render import html, table

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "benchmarks" / "pictures"
MODEL = "sample_models/digits_broken.pt"
SAMPLE = "sample_models/digits_broken.npz"
COLUMNS = 100
HEIGHT = 1110
"""Pixels of the page that are shown: down to the end of the gradient flow."""
LARGEST = 300_000
"""Bytes of the page's picture: it is loaded by everyone who opens the README."""
THEME = TerminalTheme(
    (24, 27, 32),
    (222, 226, 232),
    [
        *((60, 66, 76), (255, 123, 114), (126, 211, 133), (240, 196, 98)),
        *((121, 192, 255), (226, 142, 236), (94, 214, 214), (222, 226, 232)),
    ],
)
"""Colours with a contrast of at least 7 on the background, but for black."""


def main() -> None:
    """Make both pictures and say how large they are."""
    torch.set_num_threads(1)
    PICTURES.mkdir(exist_ok=True)
    diagnosis = diagnose(str(ROOT / MODEL), str(ROOT / SAMPLE))
    diagnosis = _as_typed(diagnosis)
    made = [terminal(diagnosis, PICTURES / "terminal.svg")]
    sys.path.insert(0, str(ROOT / "tests" / "render"))
    from picture_page import CHROMIUM, screenshot

    if CHROMIUM is None:
        print("page.png: there is no Chromium here, it stays as it is")
    else:
        made.append(PICTURES / "page.png")
        with tempfile.TemporaryDirectory() as place:
            page = Path(place) / "page.html"
            page.write_text(html.render(diagnosis), encoding="utf-8")
            screenshot(page, made[-1], width=1280, height=HEIGHT, dark=False)
        if made[-1].stat().st_size > LARGEST:
            raise SystemExit(f"{made[-1].name} takes {made[-1].stat().st_size:,} bytes, more than {LARGEST:,}")
    for path in made:
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def terminal(diagnosis: Diagnosis, svg: Path) -> Path:
    """Write what a terminal shows of the command and its report."""
    console = Console(
        record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor", _environ={}
    )
    console.print(f"[bold]$[/] gradcheck diagnose {MODEL} --data {SAMPLE}", highlight=False, soft_wrap=True)
    table.render(diagnosis, console)
    text = console.export_svg(title="gradcheck", theme=THEME, unique_id="gradcheck")
    svg.write_text(_offline(text), encoding="utf-8")
    return svg


def _as_typed(diagnosis: Diagnosis) -> Diagnosis:
    """Return the diagnosis with the paths as the command above names them."""
    model = msgspec.structs.replace(diagnosis.model, path=MODEL)
    sample = msgspec.structs.replace(diagnosis.sample, source=SAMPLE)
    return msgspec.structs.replace(diagnosis, model=model, sample=sample)


def _offline(svg: str) -> str:
    """Return the picture without the web fonts that rich names: a page that shows it would fetch nothing, and wait for it."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "'Fira Code', 'DejaVu Sans Mono', Menlo, Consolas, monospace")


if __name__ == "__main__":
    main()
