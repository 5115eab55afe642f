"""Ask gradcheck about every labelled case and print how often it is right.

    python benchmarks/accuracy/run.py [--family theory] [--only NAME-PART] [--half all|calibration|held-out] [--rehearse N] [--json FILE]

The cases are split by a hash of their names: thresholds may be set on the calibration half, the
held-out half says how well they carry over.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # the path above makes the imports below possible

from accuracy import architectures, idioms, injected, lookalikes, recurrent, theory, trained
from accuracy.cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case
from gradcheck_cli.errors import GradcheckError
from gradcheck_cli.judge import judge
from gradcheck_cli.probe.look import look
from gradcheck_cli.records import Batch, Sample, Subject
from gradcheck_cli.rehearsal import rehearse

FAMILIES = {
    "theory": theory,
    "injected": injected,
    "lookalikes": lookalikes,
    "idioms": idioms,
    "architectures": architectures,
    "trained": trained,
    "recurrent": recurrent,
}
VERDICTS = (DEAD, EXPLODING, VANISHING, HEALTHY, "not-measured", "error")


@dataclass(frozen=True)
class Outcome:
    """What the tool said of one case."""

    name: str
    truth: str
    held_out: bool
    verdict: str
    said: str
    culprits: tuple[str, ...]
    culprit_right: bool | None
    """None where the case names none, or the verdict itself was healthy."""
    layers_wrong: tuple[str, ...]
    summary: str
    seconds: float

    @property
    def right(self) -> bool:
        """The exact verdict."""
        return self.said == self.verdict


def ask(case: Case, steps: int) -> Outcome:
    """Build, measure, judge."""
    start = time.perf_counter()
    said, summary = "error", ""
    culprits: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    try:
        problem = case.problem()
        targets = problem.targets or [None] * len(problem.batches)
        batches = tuple(
            Batch(args=tuple(inputs), target=target, size=len(inputs[0]))
            for inputs, target in zip(problem.batches, targets, strict=True)
        )
        sample = Sample(batches=batches, source="benchmark", loss_name=problem.loss_name, loss=problem.loss)
        subject = Subject(path=case.name, format="in-memory", module=problem.module)
        readings = look(subject, sample, mode=problem.mode, lr=problem.lr)
        found = judge(rehearse(subject, sample, readings, steps=steps))
        said, culprits, summary = found.verdict.value, found.culprits, found.summary
        verdicts = {layer.name: layer.verdict.value for layer in found.layers}
        wrong = tuple(f"{n}: {verdicts.get(n)}" for n, v in case.layer_verdicts.items() if verdicts.get(n) != v)
    except GradcheckError as error:
        summary = f"{error.slug}: {error}"
    right = None
    if case.culprits and said not in (HEALTHY, "error"):
        right = bool(culprits) and culprits[0] in case.culprits
    seconds = time.perf_counter() - start
    return Outcome(case.name, case.truth, case.held_out, case.verdict, said, culprits, right, wrong, summary, seconds)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:6.1%} ({part}/{whole})" if whole else "   –"


def figures(outcomes: Sequence[Outcome]) -> list[str]:
    """The figures of one set of outcomes, a line each."""
    ill = [o for o in outcomes if o.verdict != HEALTHY]
    well = [o for o in outcomes if o.verdict == HEALTHY]
    caught = sum(o.said in (DEAD, EXPLODING, VANISHING) for o in ill)
    quiet = sum(o.said == HEALTHY for o in well)
    judged = [o for o in outcomes if o.culprit_right is not None]
    lines = [
        f"exact verdict            {_share(sum(o.right for o in outcomes), len(outcomes))}",
        f"ill found                {_share(caught, len(ill))}",
        f"false alarms             {_share(len(well) - quiet, len(well))}",
        f"first culprit right      {_share(sum(bool(o.culprit_right) for o in judged), len(judged))}",
        f"named layers misjudged   {sum(len(o.layers_wrong) for o in outcomes)}",
    ]
    if ill and well:
        lines.insert(1, f"balanced accuracy        {(caught / len(ill) + quiet / len(well)) / 2:6.1%}")
    return lines


def matrix(outcomes: Sequence[Outcome]) -> list[str]:
    """Rows: the label; columns: what was said."""
    counts = Counter((o.verdict, o.said) for o in outcomes)
    lines = ["label \\ said".ljust(14) + "".join(verdict.rjust(14) for verdict in VERDICTS)]
    for truth in VERDICTS[:4]:
        lines.append(truth.ljust(14) + "".join(str(counts[truth, said]).rjust(14) for said in VERDICTS))
    return lines


def report(outcomes: Sequence[Outcome], cases: dict[str, Case]) -> str:
    """The whole page of text."""
    lines = [f"{len(outcomes)} cases in {sum(o.seconds for o in outcomes):.0f} s", "", *matrix(outcomes), ""]
    halves = {
        "all": outcomes,
        "calibration": [o for o in outcomes if not o.held_out],
        "held out": [o for o in outcomes if o.held_out],
    }
    for title, half in halves.items():
        lines += [f"{title} ({len(half)})", *(f"  {line}" for line in figures(half))]
    lines.append("")
    for family in FAMILIES:
        own = [o for o in outcomes if o.name.startswith(family + "/")]
        if own:
            lines.append(
                f"{family:15} exact {_share(sum(o.right for o in own), len(own))}  {sum(o.seconds for o in own):.0f} s"
            )
    lines += ["", "misjudged:"]
    for o in outcomes:
        if not o.right or o.culprit_right is False or o.layers_wrong:
            wanted = " or ".join(dict.fromkeys(cases[o.name].culprits)) or "any"
            lines += [
                f"- {o.name} [{o.truth}{', held out' if o.held_out else ''}]: {o.verdict}, said {o.said}",
                f"    why: {cases[o.name].why}",
                f"    said: {o.summary[:300]}",
                f"    culprits: {', '.join(o.culprits[:4]) or '–'}; wanted {wanted}"
                + (f"; layers {', '.join(o.layers_wrong)}" if o.layers_wrong else ""),
            ]
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--family", choices=FAMILIES, action="append")
    parser.add_argument("--only", default="", help="a part of the case's name")
    parser.add_argument("--half", choices=("all", "calibration", "held-out"), default="all")
    parser.add_argument(
        "--rehearse", type=int, default=20, metavar="N", help="optimiser steps of the rehearsal; 0: none"
    )
    parser.add_argument("--json", type=Path, help="write every outcome here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [
        case
        for family in options.family or FAMILIES
        for case in FAMILIES[family].cases()
        if options.only in case.name and (options.half == "all" or case.held_out == (options.half == "held-out"))
    ]
    names = [case.name for case in chosen]
    if len(set(names)) != len(names):
        parser.error(f"two cases are called {Counter(names).most_common(1)[0][0]}")
    outcomes = []
    for place, case in enumerate(chosen):
        print(f"\r{place + 1}/{len(chosen)} {case.name:70.70}", end="", file=sys.stderr, flush=True)
        outcomes.append(ask(case, options.rehearse))
    print("\r" + " " * 90 + "\r", end="", file=sys.stderr)
    print(report(outcomes, {case.name: case for case in chosen}))
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")


if __name__ == "__main__":
    main()
