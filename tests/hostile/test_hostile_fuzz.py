"""The fuzzer in small; ``make fuzz`` runs it in full."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostile import fuzz, inside
from hostile.mutate import FORMS
from hostile.warm import Mutations, Outcome, Server

COUNT = 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_mutations_end_in_a_report_or_in_one_line(form: str, server: Server, tmp_path: Path) -> None:
    folder = fuzz.prepare(tmp_path / "files", form)
    tally = fuzz.run(server, form, folder, seed=1, count=COUNT)
    assert tally.faults == []
    assert tally.outcomes.total() == COUNT
    assert len(tally.outcomes) > 1, "nothing is reached"


def test_a_number_gives_the_same_file_every_time(tmp_path: Path) -> None:
    folder = fuzz.prepare(tmp_path / "files", "data-csv")
    files = []
    for index in (3, 4, 3):
        inside.write(Mutations("data-csv", str(folder), 0, index, index + 1), index)
        files.append((folder / "x.csv").read_bytes())
    assert files[0] == files[2]
    assert len({*files, (folder / "honest").read_bytes()}) == 3


@pytest.mark.parametrize(
    ("status", "slug", "stderr", "fine"),
    [
        (2, "damaged-file", "gradcheck: error[damaged-file]: x.pt: it is cut; copy it again\n", True),
        (0, "measured", "", True),
        (2, "damaged-file", "gradcheck: error[damaged-file]: x.pt: it is cut\n", False),
        (2, "damaged-file", "gradcheck: error[damaged-file]: \x1b[31m: it is cut; copy it again\n", False),
        (70, "internal", "gradcheck: error[internal]: x.pt: a fault in gradcheck; report it\n", False),
        (1, "measured", "Traceback (most recent call last):\n", False),
        (-11, "killed", "", False),
    ],
)
def test_what_counts_as_a_fault(status: int, slug: str, stderr: str, fine: bool) -> None:
    assert fuzz.is_fine(Outcome(0, status, slug, stderr)) is fine


def test_a_death_of_the_process_is_no_refusal(server: Server, tmp_path: Path) -> None:
    """The honest file that the fork needs is not there, so that it ends."""
    outcomes = server.fuzz(Mutations("data-csv", str(tmp_path), 0, 5, 9))
    assert [(outcome.index, outcome.slug) for outcome in outcomes] == [(5, "killed")]
    assert not fuzz.is_fine(outcomes[0])
