"""Prove the labels of the second examination again, in plain torch and without gradcheck.

    python benchmarks/accuracy/unseen_files/prove.py [NAME-PART]

Exits with status 1 where a label does not hold; what was only asserted is counted apart.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # the path above makes the import below possible

from accuracy.unseen_files import CASES
from accuracy.unseen_files.instruments import Asserted


def main() -> None:
    """Prove what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("part", nargs="?", default="", metavar="NAME-PART")
    given = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [case for case in CASES if given.part in case.name and not isinstance(case.proof, Asserted)]
    wrong = 0
    for case in chosen:
        holds, evidence = case.proof(case)
        wrong += not holds
        if given.part or not holds:
            print(f"{case.name} is {'' if holds else 'not shown to be '}{case.verdict}: {evidence}", flush=True)
    asserted = sum(isinstance(case.proof, Asserted) for case in CASES)
    print(f"{len(chosen) - wrong} of {len(chosen)} labels proven; {asserted} of {len(CASES)} are only asserted")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
