"""On how many model families `diagnose` runs without a sample: every one of transformers, built small from its config.

    python benchmarks/coverage.py [--only bert,vit] [--seconds 60] [--jobs 2] [--json coverage.json]

Each family's base model is built with random weights from its config class, shrunk by `small_configs`, in a process of its
own under a time and a memory limit; nothing is downloaded. One line a family: ``ok`` with the verdict, or what stopped it.
What cannot be built small from its config, or needs a package that is not installed, does not count in the share.
"""

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
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="critical", TOKENIZERS_PARALLELISM="false")
sys.path.insert(0, str(Path(__file__).resolve().parent))

MEMORY = 6 << 30
"""Bytes of address space that a family may add."""
MAX_PARAMETERS = 50_000_000
NOT_BUILT = ("needs", "unbuildable")

Row = dict[str, Any]


def main() -> None:
    """Run all families and print one line each, then the share."""
    options = _options()
    families = _families(options.only.split(",") if options.only else [])
    with ThreadPoolExecutor(options.jobs) as pool:
        rows = []
        for row in pool.map(lambda family: _isolated(family, options.seconds), families):
            print(_line(row), flush=True)
            rows.append(row)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    _summarise(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="model types, with commas; all if empty")
    parser.add_argument("--seconds", type=float, default=60, help="limit for a family")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", default="", help="write all rows to this file")
    return parser.parse_args()


def _families(only: list[str]) -> list[str]:
    import torch
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    import gradcheck_cli.pipeline as pipeline

    torch.set_num_threads(1)
    pipeline.diagnose(torch.nn.Linear(2, 2))  # imports all of it once, before the processes fork
    return [name for name in MODEL_MAPPING_NAMES if not only or name in only]


# ------------------------------------------------------------------------------------------------------- one family


def _isolated(family: str, seconds: float) -> Row:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(family, sender, seconds))
    process.start()
    sender.close()
    row: Row = {"family": family, "status": "timeout", "message": f"over {seconds:g} s"}
    try:
        if receiver.poll(seconds + 10):
            row = receiver.recv()
    except EOFError:
        row = {"family": family, "status": "crash", "message": "the process died"}
    process.kill()
    process.join()
    return row


def _child(family: str, sender: Any, seconds: float) -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - what models print is no line of ours
    warnings.simplefilter("ignore")
    began = time.monotonic()
    row: Row = {"family": family}
    try:
        row |= _measured(family)
    except TimeoutError:
        row |= {"status": "timeout", "message": f"over {seconds:g} s"}
    except BaseException as error:  # whatever it is, it is this family's line
        row |= {"status": "error", "message": f"{type(error).__name__}: {_first_line(error)}"}
    sender.send(row | {"seconds": round(time.monotonic() - began, 1)})


def _too_late(*_: object) -> None:
    raise TimeoutError


def _measured(family: str) -> Row:
    import torch

    import gradcheck_cli.pipeline as pipeline
    from gradcheck_cli.errors import GradcheckError

    torch.set_num_threads(1)
    outcome: Row = {"status": "unbuildable", "message": "no config"}
    reasons: list[str] = []
    for model in _models(family, reasons):
        torch.manual_seed(0)
        try:
            return _facts(pipeline.diagnose(model, batch_size=4, batches=2))
        except (TimeoutError, MemoryError):
            raise
        except Exception as error:  # a larger degree may keep a relation between sizes that this one has broken
            slug = error.slug if isinstance(error, GradcheckError) else "error"
            if outcome["status"] == "unbuildable":
                outcome = {"status": slug, "message": f"{type(error).__name__}: {error}"}
    if outcome["status"] == "unbuildable":
        needs = next((reason for reason in reasons if reason.startswith("ImportError")), None)
        return {"status": "needs" if needs else "unbuildable", "message": (needs or (reasons or ["no config"])[0])}
    return outcome


def _models(family: str, reasons: list[str]) -> Any:
    import torch
    from small_configs import small_configs
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    build: Callable[[Any], Any] = AutoModel.from_config
    for config in small_configs(CONFIG_MAPPING[family]):
        try:
            with torch.device("meta"):
                size = sum(part.numel() for part in build(config).parameters())
            if size > MAX_PARAMETERS:
                reasons.append(f"too large: {size:,} parameters")
                continue
        except TimeoutError:
            raise
        except Exception:
            pass
        try:
            torch.manual_seed(0)
            yield build(config).train()
        except TimeoutError:
            raise
        except Exception as error:  # whatever the family's own code raises
            reasons.append(f"{type(error).__name__}: {_first_line(error)}")


def _facts(diagnosis: Any) -> Row:
    ill = [layer for layer in diagnosis.layers if layer.verdict.value in ("dead", "vanishing", "exploding")]
    return {
        "status": "ok",
        "verdict": diagnosis.verdict.value,
        "summary": diagnosis.summary,
        "codes": sorted({finding.code for finding in diagnosis.findings if finding.verdict.value != "healthy"}),
        "ill": len(ill),
        "layers": len(diagnosis.layers),
        "culprits": list(diagnosis.culprits[:3]),
        "parameters": diagnosis.model.parameters,
        "sample": list(diagnosis.sample.remarks),
    }


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["(no message)"])[0][:240]


# ---------------------------------------------------------------------------------------------------------- figures


def _line(row: Row) -> str:
    if row["status"] == "ok":
        ill = "" if row["verdict"] == "healthy" else f" {','.join(row['codes'])}: {row['summary']}"
        return f"{row['family']:34} ok    {row['verdict']:10} {row['seconds']:5.1f} s{ill}"
    return f"{row['family']:34} {row['status']:5} {row.get('seconds', 0):5.1f} s  {row['message'][:200]}"


def _summarise(rows: list[Row]) -> None:
    built = [row for row in rows if row["status"] not in NOT_BUILT]
    works = [row for row in built if row["status"] == "ok"]
    print(f"\n{len(rows)} families; {len(built)} can be built small; diagnose runs on {len(works)}", end="")
    print(f" ({len(works) / len(built):.1%})" if built else "")
    for title, counted in (
        ("verdicts", Counter(row["verdict"] for row in works)),
        ("others", Counter(row["status"] for row in rows if row["status"] != "ok")),
    ):
        print(f"{title}: {', '.join(f'{name} {count}' for name, count in counted.most_common())}")


if __name__ == "__main__":
    main()
