"""On how many architectures of other packages `diagnose` runs without a sample: whatever of them is installed.

    python benchmarks/coverage_packages.py [--only timm,x_transformers/alibi] [--seconds 20] [--jobs 1] [--json FILE]

Each is built with random weights, at its own default initialisation, in a process of its own; nothing is downloaded. One
line each: ``ok`` with the verdict, or what stopped it. What is not installed, or fails while it is built, does not count
in the share. Nothing here is a dependency of the project; to fill a throwaway environment beside the project's own:

    pip install --no-deps timm vit-pytorch x-transformers diffusers monai torch_geometric einops …
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import package_models
from survey import Row, built, diagnosed, first_line, parser, share, survey, warm_up

REASONS = {
    "no-input-found": "no input was found",
    "forward-failed": "its own forward failed, or needs more than tensors",
    "no-output": "its output holds no tensor",
    "timeout": "the time limit",
}


def main() -> None:
    """Run all architectures and print one line each, then the share, by package, and why the rest does not run."""
    options = parser(str(__doc__).split("\n")[0], "packages or package/architecture").parse_args()
    wanted = [part for part in options.only.split(",") if part]
    names = [n for n in package_models.names() if not wanted or n in wanted or n.split("/")[0] in wanted]
    warm_up()
    package_models.stand_in_for_torchvision()
    for package in dict.fromkeys(name.split("/")[0] for name in names):
        package_models.is_installed(package)  # imported once, before the processes fork
    _summarise(survey(names, _measured, options))


def _measured(name: str) -> Row:
    import torch

    package = name.split("/")[0]
    if not package_models.is_installed(package):
        return {"status": "needs", "message": f"{package} is not installed"}
    torch.manual_seed(0)
    try:
        model = package_models.build(name).train()
    except MemoryError:
        raise
    except Exception as error:  # whatever the package's own code raises
        return {"status": "unbuildable", "message": first_line(error)}
    return diagnosed(model)


def _summarise(rows: list[Row]) -> None:
    possible = built(rows)
    works = [row for row in possible if row["status"] == "ok"]
    runs = Counter(row["name"].split("/")[0] for row in works)
    of = Counter(row["name"].split("/")[0] for row in possible)
    print(f"\n| of {len(possible)} architectures of {len(of)} packages | |\n|---|---|")
    print(f"| `diagnose` runs without a sample | {len(works)} ({share(len(works), len(possible))}) |")
    print("| … by package | " + ", ".join(f"{name} {runs[name]}/{count}" for name, count in of.items()) + " |")
    for name, count in Counter(row["verdict"] for row in works).most_common():
        print(f"| … {name} as they are initialised | {count} ({share(count, len(works))}) |")
    for status, count in Counter(row["status"] for row in possible if row["status"] != "ok").most_common():
        print(f"| does not run: {REASONS.get(status, status)} | {count} |")


if __name__ == "__main__":
    main()
