"""How soon the commands that measure nothing answer: their time over that of ``python -c "import torch"``.

    python benchmarks/startup.py [--repeat 11]

The commands and the import take turns, and the median of the paired ratios is printed, so that a machine that speeds up or
slows down does not matter. The kept run is that of a sample model.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "sample_models" / "digits_broken.pt"
GRADCHECK = [sys.executable, "-m", "gradcheck_cli"]
COMMANDS = {
    "--help": ["--help"],
    "report --json": ["report", "--json"],
    "report": ["report"],
    "report --html": ["report", "--html"],
    "explain GC101": ["explain", "GC101"],
}


def seconds(command: list[str], folder: Path) -> float:
    """Return how long a command takes, its output read and thrown away."""
    start = time.perf_counter()
    ran = subprocess.run(command, cwd=folder, capture_output=True)
    took = time.perf_counter() - start
    if ran.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {ran.returncode}: {ran.stderr.decode()}")
    return took


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=11)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([*GRADCHECK, "diagnose", str(MODEL), "--quiet", "--rehearse", "0"], cwd=folder)
        ratios: dict[str, list[float]] = {name: [] for name in COMMANDS}
        imports = []
        for _ in range(repeat):
            for name, arguments in COMMANDS.items():
                imports.append(seconds([sys.executable, "-c", "import torch"], folder))
                ratios[name].append(seconds([*GRADCHECK, *arguments], folder) / imports[-1])
    print(f"python -c 'import torch': {statistics.median(imports):.2f} s")
    for name, found in ratios.items():
        print(f"gradcheck {name}: {statistics.median(found):.2f}")


if __name__ == "__main__":
    main()
