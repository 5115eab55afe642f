"""Figures of a set of outcomes: balanced accuracy, false alarms, and how often kind, layers and culprits are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from .asking import ILL, Outcome
from .cases import DEAD, EXPLODING, HEALTHY, VANISHING, Case

VERDICTS = (DEAD, EXPLODING, VANISHING, HEALTHY, "not-measured", "error")
Ratio = tuple[int, int]
"""(how many, of how many)."""


def share(ratio: Ratio) -> str:
    """``98.1 % (52/53)``."""
    part, whole = ratio
    return f"{100 * part / whole:.1f} % ({part}/{whole})" if whole else "–"


def balanced(outcomes: Sequence[Outcome]) -> float | None:
    """Mean of the shares of ill and of healthy cases that were told as such; None without both kinds."""
    caught, quiet = found(outcomes), alarms(outcomes)
    if not caught[1] or not quiet[1]:
        return None
    return (caught[0] / caught[1] + 1 - quiet[0] / quiet[1]) / 2


def found(outcomes: Sequence[Outcome]) -> Ratio:
    """Ill cases that were called ill, of whatever kind."""
    ill = [o for o in outcomes if o.verdict != HEALTHY]
    return sum(o.said in ILL for o in ill), len(ill)


def alarms(outcomes: Sequence[Outcome]) -> Ratio:
    """Healthy cases that were not called healthy."""
    well = [o for o in outcomes if o.verdict == HEALTHY]
    return sum(o.said != HEALTHY for o in well), len(well)


def kinds(outcomes: Sequence[Outcome]) -> Ratio:
    """Ill cases with the right one of the three ills; each case's kind is known."""
    ill = [o for o in outcomes if o.verdict != HEALTHY]
    return sum(o.right for o in ill), len(ill)


def exact(outcomes: Sequence[Outcome]) -> Ratio:
    """The right one of four verdicts."""
    return sum(o.right for o in outcomes), len(outcomes)


def layers(outcomes: Sequence[Outcome]) -> Ratio:
    """Right verdicts of the layers that cases name."""
    named = sum(o.layers_named for o in outcomes)
    return named - sum(len(o.layers_wrong) for o in outcomes), named


def culprits(outcomes: Sequence[Outcome]) -> Ratio:
    """First culprits that are the case's."""
    judged = [o for o in outcomes if o.culprit_right is not None]
    return sum(bool(o.culprit_right) for o in judged), len(judged)


FIGURES = {
    "ill found": found,
    "false alarms": alarms,
    "kind of ill right": kinds,
    "exact verdict": exact,
    "named layers right": layers,
    "first culprit right": culprits,
}


def halves(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Title → outcomes."""
    return {
        "calibration": [o for o in outcomes if not o.held_out],
        "held out": [o for o in outcomes if o.held_out],
        "all": list(outcomes),
    }


def families(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Family → outcomes."""
    by_family: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_family.setdefault(outcome.name.partition("/")[0], []).append(outcome)
    return by_family


def matrix(outcomes: Sequence[Outcome]) -> list[tuple[str, list[int]]]:
    """(label, how often each of `VERDICTS` was said) for each label."""
    counts = Counter((o.verdict, o.said) for o in outcomes)
    return [(truth, [counts[truth, said] for said in VERDICTS]) for truth in VERDICTS[:4]]


def report(outcomes: Sequence[Outcome], cases: Mapping[str, Case], seconds: float) -> str:
    """All of it as text, and every misjudged case."""
    lines = [f"{len(outcomes)} cases in {seconds:.0f} s", ""]
    lines.append("label \\ said".ljust(14) + "".join(verdict.rjust(14) for verdict in VERDICTS))
    lines += [label.ljust(14) + "".join(str(count).rjust(14) for count in row) for label, row in matrix(outcomes)]
    for title, half in halves(outcomes).items():
        accuracy = balanced(half)
        lines += ["", f"{title} ({len(half)})"]
        lines.append(f"  {'balanced accuracy':22} {'–' if accuracy is None else f'{accuracy:.3f}'}")
        lines += [f"  {name:22} {share(figure(half))}" for name, figure in FIGURES.items()]
    lines.append("")
    for family, own in families(outcomes).items():
        lines.append(f"{family:15} exact {share(exact(own)):20} {sum(o.seconds for o in own):.0f} s")
    lines += ["", "misjudged:"]
    for o in outcomes:
        if not o.right or o.culprit_right is False or o.layers_wrong:
            lines += _misjudged(o, cases[o.name])
    return "\n".join(lines)


def _misjudged(o: Outcome, case: Case) -> list[str]:
    wanted = " or ".join(repr(name) for name in dict.fromkeys(case.culprits)) or "any"
    more = f"; layers {', '.join(o.layers_wrong)}" if o.layers_wrong else ""
    return [
        f"- {o.name} [{o.truth}{', held out' if o.held_out else ''}]: {o.verdict}, said {o.said}",
        f"    why: {case.why}",
        f"    said: {o.summary[:300]}",
        f"    culprits: {', '.join(o.culprits[:4]) or '–'}; wanted {wanted}{more}",
    ]
