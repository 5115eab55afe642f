"""Figures against counts done by hand, the README's block, and the peers' rules on gradients that are known."""

from __future__ import annotations

import itertools
from pathlib import Path

import labelled_path  # noqa: F401
import pytest
import torch
from accuracy import figures, markdown, peers
from accuracy.asking import Outcome
from accuracy.cases import Case, problem
from torch import nn

numbers = itertools.count()


def outcome(verdict: str, said: str, *, held_out: bool = True, culprit: bool | None = None) -> Outcome:
    return Outcome(f"family/{next(numbers)}", "theory", held_out, verdict, said, (), culprit, 2, ("a: dead",), "", 0.0)


MADE = [
    outcome("dead", "dead", culprit=True),
    outcome("dead", "vanishing", culprit=False),
    outcome("vanishing", "healthy"),
    outcome("exploding", "exploding", held_out=False),
    *[outcome("healthy", "healthy")] * 3,
    outcome("healthy", "error", held_out=False),
]


def test_figures() -> None:
    assert figures.found(MADE) == (3, 4)
    assert figures.alarms(MADE) == (1, 4)
    assert figures.kinds(MADE) == (2, 4)
    assert figures.exact(MADE) == (5, 8)
    assert figures.layers(MADE) == (8, 16)
    assert figures.culprits(MADE) == (1, 2)
    assert figures.balanced(MADE) == pytest.approx(0.75)
    assert figures.balanced(MADE[:2]) is None


def test_the_readme_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n")
    said = {o.name: {"a peer": "dead" if o.verdict == "dead" else "unknown"} for o in MADE}
    markdown.rewrite(page, markdown.page(MADE, said))
    text = page.read_text()
    assert text.startswith(f"before\n{markdown.BEGIN}\n")
    assert text.endswith(f"\n{markdown.END}\nafter\n")
    assert "old" not in text
    assert "| dead | 1 | 0 | 1 | 0 | 0 | 0 |" in text  # of the held-out cases
    assert "| a peer | 0.833 | 66.7 % (2/3) | 0.0 % (0/3) | 66.7 % (2/3) | 4 |" in text


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing here\n")
    with pytest.raises(ValueError, match="accuracy"):
        markdown.rewrite(tmp_path / "page.md", "x")


def seen(*sizes: float, inactive: float = 0.0, finite: bool = True) -> peers.Seen:
    gradients = {f"layer{i}.weight": torch.full((2, 2), size) for i, size in enumerate(sizes)}
    return peers.Seen(gradients, gradients, {"act": inactive}, finite)


@pytest.mark.parametrize(
    ("rule", "what", "says"),
    [
        (peers.sagemaker, seen(1e-3, 1e-3), "healthy"),
        (peers.sagemaker, seen(1e-8, 1e-3), "vanishing"),
        (peers.sagemaker, seen(1e-3, inactive=0.6), "dead"),
        (peers.sagemaker, seen(1e-3, finite=False), "exploding"),
        (peers.autotrainer, seen(1e-3, 1e-3), "healthy"),
        (peers.autotrainer, seen(1e-5, 1e-1), "vanishing"),
        (peers.autotrainer, seen(1e-3, 10.0), "healthy"),  # the first is not below 1e-4
        (peers.autotrainer, seen(1.0, 1e-2), "exploding"),
        (peers.autotrainer, seen(0.0, 1e-2), "dead"),
        (peers.forum, seen(1e-6, 1e-2), "vanishing"),
        (peers.forum, seen(1e2, 1e-2), "exploding"),
        (peers.forum, seen(1e-2, 1e-2), "healthy"),
    ],
)
def test_rules_of_peers(rule: object, what: peers.Seen, says: str) -> None:
    assert rule(what) == says  # type: ignore[operator]


def test_peers_see_one_backward_pass_of_the_same_loss() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(net[0].get_parameter("bias")[:3], -100.0)
    made = problem(net, torch.randn(16, 3))
    found = peers.see(made)
    assert found.inactive == {"1": 0.75}
    net(made.batches[0][0])
    output = net(made.batches[0][0])
    peers.loss_of(made, output, None).backward()  # type: ignore[no-untyped-call]
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found.gradients[name], parameter.grad)
    said = peers.ask(Case("family/made", "theory", lambda: made, "dead", "three of four units"))
    assert said["SageMaker Debugger's rules"] == "dead"
