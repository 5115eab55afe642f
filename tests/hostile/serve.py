"""The warm process itself: ``python -m hostile.serve SCRATCH`` answers what `warm.Server` asks, line by line."""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hostile import forked, inside
from hostile.warm import Job, Mutations

IMPORTS = """
torch torch.export torch.export.pt2_archive._package numpy pyarrow.parquet PIL.Image PIL.ImageOps rich.console
gradcheck_cli.cli.app gradcheck_cli.cli.measure gradcheck_cli.cli.progress gradcheck_cli.pipeline gradcheck_cli.judge
gradcheck_cli.probe.look gradcheck_cli.remedies gradcheck_cli.render.table gradcheck_cli.render.json_v1
gradcheck_cli.loaders.pickled_module gradcheck_cli.loaders.exported_program gradcheck_cli.loaders.torchscript
gradcheck_cli.loaders.inspection gradcheck_cli.loaders.huggingface gradcheck_cli.loaders.entry_point
gradcheck_cli.loaders.weights.load gradcheck_cli.sample.drawing
gradcheck_cli.worker.__main__ gradcheck_cli.worker.supervise
"""
"""What any file may need. Nothing is computed, so that no thread is there to be lost in a fork."""


def main() -> None:
    scratch = Path(sys.argv[1])
    for name in IMPORTS.split():
        importlib.import_module(name)
    tempfile.gettempdir()  # found by writing a file and removing it
    gc.collect()
    gc.freeze()  # else each collection in a fork copies all that is shared
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    with os.fdopen(answers, "wb", 0) as stream:
        for line in sys.stdin.buffer:
            what, content = json.loads(line)
            stream.write(json.dumps(_answer(what, content, scratch)).encode() + b"\n")


def _answer(what: str, content: Any, scratch: Path) -> list[dict[str, Any]]:
    if what == "fuzz":
        return [asdict(outcome) for outcome in inside.fuzz(Mutations(**content), scratch)]
    jobs = [Job(**{**fields, "arguments": tuple(fields["arguments"])}) for fields in content]
    if what == "run_inside":
        return [asdict(result) for result in inside.run(jobs, scratch)]
    return [asdict(forked.run(job, scratch)) for job in jobs]


if __name__ == "__main__":
    main()
