"""Ask gradcheck about every labelled case and print how often it is right.

    python benchmarks/accuracy/run.py [--family theory] [--only NAME-PART] [--half all|calibration|held-out]
        [--rehearse N] [--processes N] [--json FILE] [--markdown README.md [--peers FOLDER]]

The cases are split by a hash of their names: thresholds may be set on the calibration half, the
held-out half says how well they carry over.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accuracy import figures, markdown, peers  # the path above makes these possible
from accuracy.asking import all_of, ask
from accuracy.families import FAMILIES, chosen


def options() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--family", choices=FAMILIES, action="append", default=[])
    parser.add_argument("--only", default="", metavar="PART", help="a part of the case's name")
    parser.add_argument("--half", choices=("all", "calibration", "held-out"), default="all")
    parser.add_argument("--rehearse", type=int, default=20, metavar="N", help="optimiser steps; 0: none")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome here too")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help=f"ask the peers about the held-out half too, and write the tables between the {markdown.BEGIN} markers of this file",
    )
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="where `pip install --target FOLDER` has put the peers' packages"
    )
    return parser


def main() -> None:
    """Run what the command line asks for."""
    given = options().parse_args()
    cases = chosen(given.family, given.only, given.half)
    start = time.perf_counter()
    outcomes = all_of(cases, partial(ask, steps=given.rehearse), given.processes, "gradcheck")
    print(figures.report(outcomes, {case.name: case for case in cases}, time.perf_counter() - start))
    if given.json:
        given.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    if given.markdown:
        held = [case for case in cases if case.held_out]
        verdicts = all_of(held, partial(peers.ask, folder=given.peers), given.processes, "peers")
        said = {case.name: each for case, each in zip(held, verdicts, strict=True)}
        markdown.rewrite(given.markdown, markdown.page(outcomes, said))


if __name__ == "__main__":
    main()
