"""On how many model families `diagnose` runs without a sample: every one of transformers, built small from its config.

    python benchmarks/coverage.py [--only bert,vit] [--seconds 20] [--jobs 1] [--json FILE]

Each family's base model is built with random weights from its config class, shrunk by `small_configs`, in a process of its
own under a time and a memory limit; nothing is downloaded. One line a family: ``ok`` with the verdict, or what stopped it.
What cannot be built small from its config, or needs a package that is not installed, does not count in the share.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from survey import Row, built, diagnosed, first_line, parser, share, survey, warm_up

MAX_PARAMETERS = 100_000_000
CAUSES = (
    (r"inference_session", "takes a session of a video, no tensor"),
    (r'required "forward" function|NotImplementedError', "has no forward of its own, only generation"),
    (r"labels must be provided|[Ll]abels", "wants labels in training mode, no input alone"),
    (
        r"NoneType|has no attribute|unexpected keyword|out of range|divisible|split_sizes|invalid for input of size"
        r"|cannot be multiplied|must match the size",
        "its shrunken config does not fit together, or an input was given in the wrong form",
    ),
)
"""What the message shows, and why the family does not run; the first that is found counts."""
OTHER = {
    "timeout": "takes longer than the limit",
    "crash": "the process died",
    "error": "an error outside the model",
    "out-of-memory": "takes more memory than the limit",
    "no-input-found": "takes an input that is not made up yet",
    "forward-failed": "its own forward fails",
}


def main() -> None:
    """Run all families and print one line each, then the table."""
    options = parser(str(__doc__).split("\n")[0], "model types").parse_args()
    only = [name for name in options.only.split(",") if name]
    warm_up()
    next(_models("bert", []))  # imports what all families share once, before the processes fork
    _summarise(survey([name for name in _families() if not only or name in only], _measured, options))


def _families() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return list(MODEL_MAPPING_NAMES)


def _measured(family: str) -> Row:
    """Return the row of the first degree of shrinking that runs; a larger one may keep a relation that this one broke."""
    first: Row | None = None
    reasons: list[str] = []
    for model in _models(family, reasons):
        row = diagnosed(model)
        if row["status"] == "ok":
            return row
        first = first or row
    if first is not None:
        return first
    needs = next((reason for reason in reasons if reason.startswith("ImportError")), None)
    return {"status": "needs" if needs else "unbuildable", "message": (needs or (reasons or ["no config"])[0])}


def _models(family: str, reasons: list[str]) -> Iterator[Any]:
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
        except Exception:  # some cannot be built without memory
            pass
        try:
            torch.manual_seed(0)
            yield build(config).train()
        except Exception as error:  # whatever the family's own code raises
            reasons.append(first_line(error))


def _summarise(rows: list[Row]) -> None:
    """Print the table of the README: how many run, how many of these are healthy, and why the others do not."""
    possible = built(rows)
    works = [row for row in possible if row["status"] == "ok"]
    verdicts = Counter(row["verdict"] for row in works)
    whole = sum(not any("could be made up beside" in remark for remark in row["sample"]) for row in works)
    print(f"\n| of {len(rows)} families of transformers | |\n|---|---|")
    print(f"| can be built small here, from the config alone | {len(possible)} |")
    print(f"| `diagnose` runs without a sample | {len(works)} ({share(len(works), len(possible))}) |")
    print(f"| … with every kind of input that forward names (text, images, sound) | {whole} |")
    print(f"| … healthy as they are initialised | {verdicts['healthy']} ({share(verdicts['healthy'], len(works))}) |")
    for name, count in verdicts.most_common():
        if name != "healthy":
            print(f"| … {name} | {count} |")
    for cause, count in Counter(_cause(row) for row in possible if row["status"] != "ok").most_common():
        print(f"| does not run: {cause} | {count} |")
    codes = Counter(code for row in works for code in row["codes"])
    print(f"\nfamilies by finding: {', '.join(f'{code} {count}' for code, count in codes.most_common())}")


def _cause(row: Row) -> str:
    """Return in a few words why this family does not run."""
    found = (cause for pattern, cause in CAUSES if re.search(pattern, row["message"]))
    return next(found, OTHER.get(row["status"], str(row["status"])))


if __name__ == "__main__":
    main()
