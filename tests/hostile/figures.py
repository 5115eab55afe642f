"""What refusing the corpus costs, as a table in Markdown: ``python -m hostile.figures`` in this folder's parent."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hostile import checks, corpus
from hostile.corpus import Built
from hostile.warm import Result, Server

KINDS: dict[str, str] = {
    "places": "no regular files: pipes, devices, sockets, links, folders, names of nothing",
    "impostors": "files of other tools, wrong and missing extensions, folders that want code to run",
    "archives": "truncations, bit flips, zip archives that can be read in two ways, zip bombs",
    "pickles": "pickles that call, hook, shadow or explode",
    "exports": "`.pt2` through every known door",
    "weights": "safetensors headers, indexes, state dicts and old files that lie",
    "data": "arrays, tables, tensors and images as data",
    "names": "names with escapes, markup and HTML",
    "changing": "files that change while they are read",
}
"""Module of the corpus → what is in it."""


def main() -> None:
    sys.stdout.write("| files | refused | slowest, s | most memory, MB |\n|---|---|---|---|\n")
    everything: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "scratch").mkdir()
        with Server(Path(name) / "scratch") as server:
            for module in corpus.FAMILIES:
                family = module.__name__.rpartition(".")[2]
                cases = [case for case in corpus.cases_of(module) if not case.loadable]
                built = corpus.build(Path(name) / family, cases)
                results = server.run([checks.diagnose(item) for item in built])
                everything += results
                _row(KINDS[family], results)
                _faults(built, results)
    _row("**all**", everything)


def _row(what: str, results: list[Result]) -> None:
    refused = sum(result.status == 2 for result in results)
    cpu, grown = max(result.cpu for result in results), max(result.grown for result in results)
    sys.stdout.write(f"| {what} | {refused} of {len(results)} | {cpu:.2f} | {grown / 1e6:.0f} |\n")
    sys.stdout.flush()


def _faults(built: list[Built], results: list[Result]) -> None:
    for item, result in zip(built, results, strict=True):
        if result.status != 2:
            sys.stderr.write(f"{item.case.label}: status {result.status}: {result.stderr[-300:]!a}\n")


if __name__ == "__main__":
    main()
