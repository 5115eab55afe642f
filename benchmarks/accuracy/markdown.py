"""The tables of the README, and putting them there between two markers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from . import figures
from .asking import Outcome
from .cases import HEALTHY
from .figures import Ratio
from .peers import OK, UNKNOWN, Says

BEGIN, END = "<!-- accuracy -->", "<!-- /accuracy -->"


def rewrite(page: Path, text: str) -> None:
    """Replace what stands between the two markers of a page. Raises ValueError where it has no such pair."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def page(outcomes: Sequence[Outcome], peers: Mapping[str, Mapping[str, Says]]) -> str:
    """All tables. `peers`: what each peer said of each held-out case, by the case's name."""
    half = figures.halves(outcomes)["held out"]
    parts = [
        f"{len(outcomes)} cases, {len(half)} of them held out.",
        _figures(outcomes),
        f"What was said of the {len(half)} held-out cases (rows: the label):",
        _matrix(half),
        "False alarms by kind of healthy case, and ill ones found by kind of truth (all cases):",
        _families(outcomes),
        f"The same {len(half)} held-out cases, asked of others:",
        _peers(outcomes, peers),
    ]
    return "\n".join(part + "\n" for part in parts).rstrip("\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def _figures(outcomes: Sequence[Outcome]) -> str:
    halves = figures.halves(outcomes)
    rows = [["balanced accuracy, ill or healthy", *(_number(figures.balanced(half)) for half in halves.values())]]
    rows += [
        [name, *(figures.share(figure(half)) for half in halves.values())] for name, figure in figures.FIGURES.items()
    ]
    return table(["", *halves], rows)


def _matrix(outcomes: Sequence[Outcome]) -> str:
    return table(
        ["label \\ said", *figures.VERDICTS], [[label, *map(str, row)] for label, row in figures.matrix(outcomes)]
    )


def _families(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [family, figures.share(figures.found(own)), figures.share(figures.alarms(own))]
        for family, own in figures.families(outcomes).items()
    ]
    return table(["family", "ill found", "false alarms"], rows)


# --------------------------------------------------------------------------------------------------------------- peers


def _peers(outcomes: Sequence[Outcome], peers: Mapping[str, Mapping[str, Says]]) -> str:
    ours = [outcome for outcome in outcomes if outcome.held_out]
    rows = [_row("**gradcheck**", figures.found(ours), figures.alarms(ours), figures.kinds(ours), (0, len(ours)))]
    for name in dict.fromkeys(name for said in peers.values() for name in said):
        rows.append(_row(name, *_compared([(o, peers[o.name][name]) for o in ours if name in peers[o.name]])))
    return table(
        ["", "balanced accuracy", "ill found", "false alarms", "kind of ill right", "could not be asked"], rows
    )


def _compared(own: Sequence[tuple[Outcome, Says]]) -> tuple[Ratio, Ratio, Ratio, Ratio]:
    """Found, alarms, kinds, unknown; what a peer cannot be asked counts as healthy: it raised no alarm."""
    ill = [(o, said) for o, said in own if o.verdict != HEALTHY]
    well = [said for o, said in own if o.verdict == HEALTHY]
    return (
        (sum(said not in (OK, UNKNOWN) for _, said in ill), len(ill)),
        (sum(said not in (OK, UNKNOWN) for said in well), len(well)),
        (sum(said == o.verdict for o, said in ill), len(ill)),
        (sum(said == UNKNOWN for _, said in own), len(own)),
    )


def _row(name: str, found: Ratio, alarms: Ratio, kinds: Ratio, unknown: Ratio) -> list[str]:
    accuracy = (found[0] / found[1] + 1 - alarms[0] / alarms[1]) / 2 if found[1] and alarms[1] else None
    return [name, _number(accuracy), figures.share(found), figures.share(alarms), figures.share(kinds), str(unknown[0])]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
