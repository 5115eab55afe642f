"""What every part of a diagnosis costs, as a ratio to bare PyTorch in the same run.

    python benchmarks/costs.py [--repeat 7] [--only lstm …] [--markdown README.md]

A pass is compared with a bare forward and backward pass of the same model on the same batch, a rehearsal with as many steps of
plain PyTorch, a whole diagnosis with four bare passes, which is how many batches it looks at. Bare and measured parts take turns on
one thread, numpy's too; printed is the median of the paired ratios of processor time, so that a busy machine does not matter.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when numpy is imported

import torch
from overhead import bare, mlp50, resnet18, vit_tiny
from torch import nn
from torch.nn import functional as F

from gradcheck_cli.pipeline import diagnose
from gradcheck_cli.probe import forensics, look, opening, second_looks, what_if
from gradcheck_cli.probe.batch import Subject, add_plan, forward, measure, prepare, transmission
from gradcheck_cli.probe.exactness import answers
from gradcheck_cli.probe.layers import plan_layers
from gradcheck_cli.probe.restore import untouched
from gradcheck_cli.probe.totals import Totals
from gradcheck_cli.records import Batch, Sample
from gradcheck_cli.records import Subject as Loaded
from gradcheck_cli.rehearsal.steps import Stepper

STEPS = 20
RATE = 1e-4
MARK = ("<!-- costs -->\n", "<!-- /costs -->\n")


class Reader(nn.Module):
    """Two LSTM layers of width 256, and a head that reads the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, 256, 2, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, S, 64) → (B, 10)."""
        return self.head(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


def lstm() -> tuple[nn.Module, torch.Tensor]:
    """An LSTM on 32 sequences of 50 steps."""
    return Reader(), torch.randn(32, 50, 64)


MODELS: dict[str, tuple[str, Callable[[], tuple[nn.Module, torch.Tensor]]]] = {
    "resnet18": ("ResNet-18, 8 images of 112×112", resnet18),
    "vit-tiny": ("ViT-tiny, 4 images of 224×224", vit_tiny),
    "lstm": ("LSTM of 2 layers of width 256, 32 sequences of 50", lstm),
    "mlp": ("MLP of 50 layers of width 256, batch 128", mlp50),
}


class Costs:
    """The parts of a diagnosis of one model on one batch, and what each is compared with."""

    def __init__(self, module: nn.Module, x: torch.Tensor) -> None:
        self.module = module
        self.x = x
        out = module(x)
        self.target = torch.randint(out.shape[-1], (len(x),))
        self.cotangent = torch.ones_like(out)
        self.batch = Batch(args=(x,), target=self.target, size=len(x))
        self.sample = Sample(batches=(self.batch,), source="", loss_name="cross-entropy", loss=F.cross_entropy)
        self.loaded = Loaded(path="", format="in-memory", module=module)
        self.subject: Subject = prepare(module, 0)
        self.readings = look(self.loaded, self.sample)

    def bare(self) -> None:
        """Forward and backward as a training step does them, without the optimiser."""
        bare(self.module, self.x, self.cotangent)

    def instrumented(self) -> None:
        """Everything that is measured of a batch without the loss."""
        measure(self.subject, self.batch, None, keep=False)

    def with_loss(self) -> None:
        """The same, and the loss's own backward pass over the same graph."""
        measure(self.subject, self.batch, F.cross_entropy, keep=False)

    def gates_opened(self) -> None:
        """A gate opened in place, and the loss-free pass once more."""
        last = [name for name, value in self.subject.parameters.items() if value.ndim > 1][-1:]
        with opening.opened(self.subject.parameters, dict.fromkeys(last, 0.0), torch.Generator().manual_seed(0)):
            run = forward(self.subject, self.batch)
            totals = Totals()
            reading = transmission(self.subject, run, totals, 0, keep=False)
            add_plan(totals, plan_layers(run.tape, self.subject.owners, self.subject.tied), run.tape, reading)

    def watched(self) -> None:
        """A forward pass under watch, for cuts and the first NaN."""
        forensics.watch(self.module, self.batch)

    def through_time(self) -> None:
        """A recurrent layer without its fused kernel, asked at its last step."""
        run = forward(self.subject, self.batch)
        second_looks._through_time(self.subject, self.batch, run, second_looks.SecondLooks())

    def in_double(self) -> None:
        """Three questions in float64."""
        answers(self.module, self.batch, "train", 0, torch.float64)

    def what_if(self) -> None:
        """``--precision fp16``."""
        what_if(self.loaded, self.sample, self.readings, precision="fp16")

    def plain_steps(self) -> None:
        """A training loop as everybody writes it."""
        optimizer = torch.optim.SGD(self.module.parameters(), RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = F.cross_entropy(self.module(self.x), self.target)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        optimizer.zero_grad()

    def rehearsed_steps(self) -> None:
        """The same of a rehearsal, with what it writes down of each step."""
        subject = self.subject
        stepper = Stepper(self.module, subject.parameters, subject.owners, subject.tied, "sgd", RATE)
        stepper.run((self.batch,), F.cross_entropy, STEPS, 0, lambda _done: None)

    def four_bare(self) -> None:
        """As many batches as a diagnosis looks at."""
        for _ in range(4):
            self.bare()

    def diagnose(self, rehearse: int) -> None:
        """The whole, from a module in memory to its report."""
        four = (torch.cat([self.x] * 4), torch.cat([self.target] * 4))
        diagnose(self.module, four, loss="cross-entropy", batch_size=len(self.x), rehearse=rehearse)


PARTS: tuple[tuple[str, str, str], ...] = (
    ("instrumented pass, without a loss", "bare", "instrumented"),
    ("instrumented pass, with the loss's own backward pass", "bare", "with_loss"),
    ("second look: gates opened", "bare", "gates_opened"),
    ("second look: watched pass", "bare", "watched"),
    ("second look: through time", "bare", "through_time"),
    ("second look: float64", "bare", "in_double"),
    ("`--precision fp16`", "bare", "what_if"),
    ("rehearsal, per step", "plain_steps", "rehearsed_steps"),
)
"""Name, what it is compared with, what is measured."""


def ratio(plain: Callable[[], Any], measured: Callable[[], Any], repeat: int) -> float:
    """Median of paired ratios."""
    found = []
    for _ in range(repeat):
        begin = time.process_time()
        plain()
        middle = time.process_time()
        measured()
        found.append((time.process_time() - middle) / (middle - begin))
    return statistics.median(found)


def ratios(make: Callable[[], tuple[nn.Module, torch.Tensor]], repeat: int) -> Iterator[tuple[str, float | None]]:
    """(name of the part, ratio) for one model; None where the part does not apply."""
    torch.manual_seed(0)
    costs = Costs(*make())
    with untouched(costs.module):
        for heading, plain, measured in PARTS:
            recurrent = any(isinstance(layer, nn.RNNBase) for layer in costs.module.modules())
            if measured == "through_time" and not recurrent:
                yield heading, None
                continue
            turns = repeat if plain == "bare" else max(2, repeat // 3)
            if plain == "bare":
                getattr(costs, measured)()  # warms up
            yield heading, ratio(getattr(costs, plain), getattr(costs, measured), turns)
        for heading, steps in (("whole diagnosis, `--rehearse 0`", 0), ("whole diagnosis, 20 steps rehearsed", STEPS)):
            yield heading, ratio(costs.four_bare, partial(costs.diagnose, steps), max(2, repeat // 3))


def table(columns: dict[str, dict[str, float | None]]) -> str:
    """Markdown: a row a part, a column a model."""
    lines = [f"| | {' | '.join(MODELS[name][0] for name in columns)} |", f"|---|{'---|' * len(columns)}"]
    for heading in next(iter(columns.values())):
        values = (found[heading] for found in columns.values())
        lines.append(f"| {heading} | {' | '.join('–' if value is None else f'{value:.2f}' for value in values)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print a line a part while it is measured, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--markdown", type=Path, help="write the table between the marks of this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    Costs(nn.Linear(4, 4), torch.randn(2, 4)).plain_steps()  # the first step of an optimiser imports a good deal
    found: dict[str, dict[str, float | None]] = {}
    for name in options.only:
        found[name] = {}
        for heading, value in ratios(MODELS[name][1], options.repeat):
            found[name][heading] = value
            print(f"{name:10} {heading:54} {'–' if value is None else f'{value:.3f}'}", flush=True)
    print(table(found))
    if options.markdown is not None:
        text = options.markdown.read_text(encoding="utf-8")
        before, _, rest = text.partition(MARK[0])
        _, _, after = rest.partition(MARK[1])
        options.markdown.write_text(before + MARK[0] + table(found) + MARK[1] + after, encoding="utf-8")


if __name__ == "__main__":
    main()
