"""Runs `diagnose` without a sample on many models, each in a process of its own; whatever happens in it is one row."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="critical", TOKENIZERS_PARALLELISM="false")

MEMORY = 6 << 30
"""Bytes of address space that a measurement may add."""
_PATIENCE = 10
"""Times the limit that one may take on the clock, where the processor is shared."""
NOT_BUILT = ("needs", "unbuildable")
"""Statuses of what does not count in the share: a package is not installed, or the model cannot be built."""

Row = dict[str, Any]


class TooLate(BaseException):
    """The limit of one measurement is over; no `Exception`, so that nobody's own handling of errors takes it."""


def parser(description: str, only: str) -> argparse.ArgumentParser:
    """Return the options that all surveys have; `only` says what can be chosen."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--only", default="", help=f"{only}, with commas; all if empty")
    found.add_argument("--seconds", type=float, default=20, help="processor time for one")
    found.add_argument("--jobs", type=int, default=1)
    found.add_argument("--json", default="", help="write all rows to this file")
    return found


def survey(names: list[str], measure: Callable[[str], Row], options: argparse.Namespace) -> list[Row]:
    """Return ``measure(name)`` of all `names`, each in a process of its own, and print one line each."""
    rows = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(lambda name: _isolated(name, measure, options.seconds), names):
            print(_line(row), flush=True)
            rows.append(row)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def warm_up() -> None:
    """Import what all need once, before the processes fork."""
    import torch

    import gradcheck_cli.pipeline as pipeline

    torch.set_num_threads(1)
    pipeline.diagnose(torch.nn.Linear(2, 2))


def diagnosed(model: Any) -> Row:
    """Return the row of one model: ``ok`` with what `diagnose` says of it, or the slug of what stopped it."""
    import torch

    import gradcheck_cli.pipeline as pipeline
    from gradcheck_cli.errors import GradcheckError

    torch.manual_seed(0)
    try:
        diagnosis = pipeline.diagnose(model, batch_size=4, batches=2)
    except GradcheckError as error:
        return {"status": error.slug, "message": str(error)}
    return {
        "status": "ok",
        "verdict": diagnosis.verdict.value,
        "summary": diagnosis.summary,
        "codes": sorted({finding.code for finding in diagnosis.findings if finding.verdict.value != "healthy"}),
        "culprits": list(diagnosis.culprits[:5]),
        "layers": len(diagnosis.layers),
        "parameters": diagnosis.model.parameters,
        "sample": list(diagnosis.sample.remarks),
    }


def built(rows: list[Row]) -> list[Row]:
    """Return the rows of what could be built, which is what a share is of."""
    return [row for row in rows if row["status"] not in NOT_BUILT]


def share(part: int, whole: int) -> str:
    """Return a share in percent, as ``98.1%``."""
    return f"{part / whole:.1%}" if whole else "–"


def first_line(error: BaseException) -> str:
    """Return the type and the first line of the message, at most 240 characters."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['(no message)'])[0]}"[:240]


def _isolated(name: str, measure: Callable[[str], Row], seconds: float) -> Row:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, measure, sender, seconds))
    process.start()
    sender.close()
    row: Row = {"name": name, "status": "timeout", "message": f"over {seconds:g} s of processor time"}
    try:
        if receiver.poll(_PATIENCE * seconds):
            row = receiver.recv()
    except EOFError:
        row = {"name": name, "status": "crash", "message": "the process died"}
    process.kill()
    process.join()
    return row


def _child(name: str, measure: Callable[[str], Row], sender: Any, seconds: float) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    signal.signal(signal.SIGPROF, _too_late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what models print is no line of ours
    warnings.simplefilter("ignore")
    began = time.process_time()
    row: Row = {"name": name}
    try:
        row |= measure(name)
    except TooLate:
        row |= {"status": "timeout", "message": f"over {seconds:g} s of processor time"}
    except BaseException as error:  # whatever it is, it is this one's line
        row |= {"status": "error", "message": first_line(error)}
    sender.send(row | {"seconds": round(time.process_time() - began, 1)})


def _too_late(*_: object) -> None:
    raise TooLate


def _line(row: Row) -> str:
    head = f"{row['name']:44} {row['status']:5} {row.get('seconds', 0):5.1f} s"
    if row["status"] != "ok":
        return f"{head}  {row['message'][:240]}"
    ill = "" if row["verdict"] == "healthy" else f" {','.join(row['codes'])}: {row['summary']}"
    return f"{head}  {row['verdict']}{ill}"
