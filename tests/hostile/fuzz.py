"""Seeded mutations of an honest file of every format: ``python -m hostile.fuzz`` in this folder's parent, or ``make fuzz``.

The same seed and number give the same file. A fault is an exit status that means a fault of gradcheck's own, a
traceback, an answer that is not one printable line, or a death of the process.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hostile import corpus, honest, inside
from hostile.mutate import FORMS
from hostile.names import RAW
from hostile.warm import Mutations, Outcome, Server

BATCH = 250
_TOLD = re.compile(r"gradcheck: error\[[a-z-]+\]: .+; .+\n")


@dataclass
class Tally:
    """What became of the mutations of one format."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Slug of the refusal, or ``measured`` → how many."""
    faults: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.outcomes[outcome.slug] += 1
        if not is_fine(outcome):
            self.faults.append(outcome)


def is_fine(outcome: Outcome) -> bool:
    """Whether the command line answered as it should: a report, or one line that says what is wrong and what to do."""
    if "Traceback" in outcome.stderr or any(mark in outcome.stderr for mark in RAW):
        return False
    if outcome.slug == "measured":
        return outcome.status in (0, 1)
    # A damaged weight can make the model's own forward fail, and a library may warn of it before.
    return outcome.status in (2, 3) and bool(_TOLD.fullmatch(outcome.stderr.splitlines(keepends=True)[-1]))


def prepare(root: Path, form: str) -> Path:
    """The folder that the mutations of `form` are tried in, with the honest file as ``honest``."""
    corpus.build(root, [])
    folder = root / form
    (folder / FORMS[form].filename).parent.mkdir(parents=True)
    content = FORMS[form].build()
    for path in (folder / "honest", folder / FORMS[form].filename):
        path.write_bytes(content)
    if form == "index":
        (folder / "part.bin").write_bytes(honest.state_dict())
    return folder


def run(server: Server, form: str, folder: Path, seed: int, count: int) -> Tally:
    """Try the mutations 0 to `count` of `form`."""
    tally = Tally()
    for outcome in _outcomes(server, Mutations(form, str(folder), seed, 0, count)):
        tally.add(outcome)
    return tally


def _outcomes(server: Server, wanted: Mutations) -> Iterator[Outcome]:
    begin = wanted.begin
    while begin < wanted.end:
        end = min(begin + BATCH, wanted.end)
        done = server.fuzz(Mutations(wanted.form, wanted.folder, wanted.seed, begin, end))
        yield from done
        begin = done[-1].index + 1  # one that kills the process is the last of its batch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("forms", nargs="*", metavar="FORMAT", help=f"of {', '.join(FORMS)}; default: all")
    parser.add_argument("--count", type=int, default=10_000, help="mutations of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", metavar="FOLDER", help="put the files that make faults there")
    given = parser.parse_args()
    faults = 0
    for form in given.forms or FORMS:
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name) / "scratch"
            scratch.mkdir()
            folder = prepare(Path(name), form)
            begin = time.monotonic()
            with Server(scratch) as server:
                tally = run(server, form, folder, given.seed, given.count)
            _tell(form, tally, time.monotonic() - begin)
            if given.keep:
                _keep(Path(given.keep), form, folder, given.seed, tally)
        faults += len(tally.faults)
    return min(faults, 1)


def _tell(form: str, tally: Tally, seconds: float) -> None:
    total = tally.outcomes.total()
    refused = total - tally.outcomes["measured"]
    most = ", ".join(f"{slug} {count}" for slug, count in tally.outcomes.most_common(5))
    sys.stdout.write(
        f"{form:17} {total:6} mutations, {refused:5} refused, {len(tally.faults)} faults, {seconds:4.0f} s ({most})\n"
    )
    for fault in tally.faults[:10]:
        sys.stdout.write(f"  number {fault.index}: status {fault.status}, {fault.stderr[-400:]!a}\n")
    sys.stdout.flush()


def _keep(where: Path, form: str, folder: Path, seed: int, tally: Tally) -> None:
    where.mkdir(parents=True, exist_ok=True)
    for fault in tally.faults:
        inside.write(Mutations(form, str(folder), seed, fault.index, fault.index + 1), fault.index)
        filename = Path(FORMS[form].filename)
        shutil.copy(folder / filename, where / f"{form}-{fault.index}-{filename.name}")


if __name__ == "__main__":
    sys.exit(main())
