"""Prove the labels of the examination again, in plain torch and without gradcheck.

    python benchmarks/accuracy/unseen/prove.py [NAME-PART] [--json FILE]

Exits with status 1 where a label does not hold, or where a culprit or a layer of a case does not exist.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # the path above makes the import below possible

from accuracy.unseen import CASES
from accuracy.unseen.case import prove


def main() -> None:
    """Prove what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", nargs="?", default="", metavar="NAME-PART")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the evidence here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    evidence, wrong = {}, 0
    chosen = [case for case in CASES if given.part in case.name]
    for case in chosen:
        try:
            evidence[case.name] = prove(case)
            if given.part:
                print(f"{case.name} is {case.label}: {evidence[case.name]}", flush=True)
        except Exception as error:  # whatever a network may raise, its label is not proven
            wrong += 1
            print(f"{case.name} is not shown to be {case.label}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(evidence)} of {len(chosen)} labels proven")
    if given.json:
        given.json.write_text(json.dumps(evidence, indent=1) + "\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
