"""What opening and diagnosing a large model takes: the peak of resident memory against the size of the file.

    python benchmarks/memory.py [--gigabytes 1 4] [--formats state-dict,safetensors]

The model is an embedding table in front of a deep MLP, half of the weights each. It is written in every format into a
temporary folder, one file at a time, and each measurement is a process of its own, whose peak the kernel reports (`wait4`);
of `gradcheck diagnose` that is the larger of its two processes. It measures two batches with a loss. What Python and torch
take is measured on a tiny model. Diagnosing needs the weights and, for a moment, each gradient in its turn; rehearsing
needs the weights, a copy that is trained, and all gradients of a step.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
WIDTH = 2048
TINY = 1e6
NETWORK = f"""
import json
import sys
import safetensors.torch
import torch
from torch import nn

def build(size):
    rows, layers = int(size / 8 / {WIDTH}) + 100, int(size / 8 / {WIDTH}**2)
    skip = nn.utils.skip_init  # numbers are drawn only where they are saved
    hidden = [part for _ in range(layers) for part in (skip(nn.Linear, {WIDTH}, {WIDTH}), nn.ReLU())]
    return nn.Sequential(skip(nn.Embedding, rows, {WIDTH}), *hidden, skip(nn.Linear, {WIDTH}, 10))

def save(kind, size, path):
    torch.manual_seed(0)
    net = build(size)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(False)
        nn.init.normal_(parameter, 0, 1 if name == "0.weight" else (2 / {WIDTH}) ** 0.5 * (parameter.ndim > 1))
        parameter.requires_grad_(True)
    state = net.state_dict()
    if kind in ("state-dict", "legacy"):
        torch.save(state, path, _use_new_zipfile_serialization=kind == "state-dict")
    elif kind == "safetensors":
        safetensors.torch.save_file(state, path)
    elif kind == "sharded":
        table = {{name: f"part-{{index % 4}}.safetensors" for index, name in enumerate(state)}}
        for part in set(table.values()):
            safetensors.torch.save_file({{name: state[name] for name in state if table[name] == part}}, part)
        with open(path, "w") as stream:
            json.dump({{"metadata": {{}}, "weight_map": table}}, stream)
    elif kind == "module":
        torch.save(net, path)
    else:
        torch.export.save(torch.export.export(net, (torch.zeros(8, 4, dtype=torch.long),)), path)

if __name__ == "__main__":
    save(sys.argv[1], float(sys.argv[2]), sys.argv[3])
"""
FORMATS = {
    "state-dict": "x.pt",
    "legacy": "x.bin",
    "safetensors": "x.safetensors",
    "sharded": "x.safetensors.index.json",
    "module": "x.pt",
    "exported-program": "x.pt2",
}
BARE = ("state-dict", "legacy", "safetensors", "sharded")


def peak(folder: Path, command: list[str]) -> float:
    """Largest resident size in bytes of a process and of those that it waited for."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return usage.ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)


def opening(folder: Path, kind: str) -> float:
    """Peak of loading the file, and nothing else."""
    arch = '"arch:build"' if kind in BARE else None
    return peak(folder, ["-c", f"from gradcheck_cli.loaders import load; load({FORMATS[kind]!r}, arch={arch})"])


def diagnosing(folder: Path, kind: str, *, rehearse: int) -> float:
    """Peak of the command line."""
    command = ["-m", "gradcheck_cli", "diagnose", FORMATS[kind], "--data", "sample.npz", "--batch-size", "8"]
    command += ["--fail-on", "none", "--rehearse", str(rehearse), "--memory-limit", "0"]
    return peak(folder, [*command, *(["--arch", "arch:build"] if kind in BARE else [])])


def write(folder: Path, kind: str, size: float) -> float:
    """Write the file, and the architecture and sample that go with it; returns the file's bytes."""
    (folder / "network.py").write_text(NETWORK)
    (folder / "arch.py").write_text(f"import network\n\ndef build():\n    return network.build({size})\n")
    generator = np.random.default_rng(0)
    np.savez(folder / "sample.npz", x=generator.integers(0, 100, (16, 4)), y=generator.integers(0, 10, (16, 4)))
    peak(folder, ["network.py", kind, str(size), FORMATS[kind]])
    return float(
        sum(file.stat().st_size for file in folder.glob("*.safetensors" if kind == "sharded" else FORMATS[kind]))
    )


def measured(folder: Path, kind: str, *, rehearse: int) -> tuple[float, ...]:
    """Peaks of opening, of diagnosing, and, with steps, of diagnosing with a rehearsal of so many."""
    found = opening(folder, kind), diagnosing(folder, kind, rehearse=0)
    return (*found, diagnosing(folder, kind, rehearse=rehearse)) if rehearse else found


def line(kind: str, size: float, peaks: tuple[float, ...], fixed: tuple[float, ...]) -> str:
    """One row: gigabytes, and in brackets times the file beyond what the tiny model takes."""
    cells = (f"{peak / 1e9:6.2f} GB ({(peak - base) / size:.2f}×)" for peak, base in zip(peaks, fixed, strict=False))
    return f"{kind:18s}{size / 1e9:6.2f} GB   {'   '.join(f'{cell:18s}' for cell in cells)}".rstrip()


def main() -> None:
    """Print one line a format and size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1.0, 4.0], help="sizes of the files")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--rehearse", type=int, default=2, help="steps of the rehearsal; more take no more memory")
    options = parser.parse_args()
    print("peak resident memory; in brackets, times the file, without what a tiny model takes", flush=True)
    rehearsed = f"--rehearse {options.rehearse}" if options.rehearse else ""
    print(f"{'format':18s}{'file':12s}{'opening':21s}{'--rehearse 0':21s}{rehearsed}".rstrip(), flush=True)
    for kind in options.formats.split(","):
        fixed: tuple[float, ...] = ()
        for size in (TINY, *(1e9 * size for size in options.gigabytes)):
            with tempfile.TemporaryDirectory() as name:
                bytes_written = write(Path(name), kind, size)
                peaks = measured(Path(name), kind, rehearse=options.rehearse)
                fixed = fixed or peaks
                print(line(kind, bytes_written, peaks, fixed), flush=True)


if __name__ == "__main__":
    main()
