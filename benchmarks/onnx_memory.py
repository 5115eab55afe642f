"""Import, comparison with ONNX Runtime and diagnosis of big ONNX models: time and peak memory, each in a fresh process.

    python benchmarks/onnx_memory.py [--layers 30] [--external-layers 36] [--batch 4]

The models are chains of linear layers of 4096 × 4096 (64 MiB) with ReLU: one as a single file, which protobuf limits to 2 GiB,
one with its weights in a file beside. `peak` is the process's largest resident set (VmHWM), pages of mapped files included,
which the system takes back when it needs them; `own` is the largest part of it that is not such pages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

WIDTH = 4096
STAGES = ("imports", "onnx.load", "load", "parity", "diagnose")


def write(path: Path, layers: int, *, external: bool) -> None:
    """Write a chain of linear layers without ever holding it in memory as a whole."""
    from onnx import TensorProto, helper

    nodes = []
    tensors = []
    size = WIDTH * WIDTH * 4
    for layer in range(layers):
        before = f"r{layer - 1}" if layer else "x"
        nodes.append(
            helper.make_node("MatMul", [before, f"fc{layer}.weight"], [f"y{layer}"], name=f"/fc{layer}/MatMul")
        )
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"r{layer}"], name=f"/relu{layer}/Relu"))
        tensor = TensorProto(name=f"fc{layer}.weight", data_type=TensorProto.FLOAT, dims=(WIDTH, WIDTH))
        if external:
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", f"{path.name}.data"), ("offset", layer * size), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
        tensors.append(tensor)
    nodes[-1].output[0] = "out"
    x, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", "out"))
    graph = helper.make_graph(nodes, "chain", [x], [out], tensors if external else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    drawn = np.random.default_rng(0)
    scale = np.float32(np.sqrt(2 / WIDTH))
    with path.open("wb") as stream, Path(f"{path}.data" if external else path).open("ab") as data:
        stream.write(model.SerializeToString())
        stream.flush()
        for tensor in tensors:
            if not external:  # one more graph field, which protobuf merges with the first
                head = tensor.SerializeToString() + b"\x4a" + _varint(size)
                field = b"\x2a" + _varint(len(head) + size) + head
                data.write(b"\x3a" + _varint(len(field) + size) + field)
            data.write((drawn.standard_normal((WIDTH, WIDTH), dtype=np.float32) * scale).tobytes())


def _varint(value: int) -> bytes:
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def measure(stage: str, path: str, batch: int) -> dict[str, float]:
    """Run one stage in this process: seconds and MB."""
    import onnx
    import onnxruntime
    import torch

    import gradcheck_cli
    from gradcheck_cli.loaders.onnx_model import load
    from gradcheck_cli.records import Batch

    del onnxruntime, load
    torch.set_num_threads(1)
    own = _Own()
    begin, processor = time.perf_counter(), time.process_time()
    kept: object = None
    if stage == "onnx.load":
        kept = onnx.load(path)
    elif stage in ("load", "parity"):
        kept = subject = gradcheck_cli.load(path)
        if stage == "parity" and subject.parity is not None:
            remarks = subject.parity(Batch(args=(torch.randn(batch, WIDTH),), size=batch))
            assert not remarks, remarks
    elif stage == "diagnose":
        found = gradcheck_cli.diagnose(path, batch_size=batch, batches=1)
        assert len(found.layers) > 2
    seconds, processor = time.perf_counter() - begin, time.process_time() - processor
    del kept
    return {"seconds": seconds, "processor": processor, "peak": _status("VmHWM"), "own": own.stop()}


class _Own:
    """The largest resident memory that is no page of a file, looked at every few milliseconds."""

    def __init__(self) -> None:
        self._largest = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.005):
            self._largest = max(self._largest, _status("RssAnon"))

    def stop(self) -> float:
        self._stopped.set()
        self._thread.join()
        return max(self._largest, _status("RssAnon"))


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def _report(path: Path, batch: int) -> None:
    size = sum(file.stat().st_size for file in path.parent.iterdir()) / 2**20
    print(f"{path.stem}: {size:.0f} MB of weights", flush=True)
    for stage in STAGES:
        command = [sys.executable, __file__, "--stage", stage, "--model", str(path), "--batch", str(batch)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"  {stage:10s} failed: {done.stderr.strip().splitlines()[-1][:160]}", flush=True)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"  {stage:10s} {found['seconds']:6.2f} s ({found['processor']:6.2f} s of processor), peak {found['peak']:6.0f} MB "
            f"({found['peak'] / size:.2f} × weights), own {found['own']:6.0f} MB",
            flush=True,
        )


def main() -> None:
    """Make the models in a temporary folder, measure each stage, remove them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--external-layers", type=int, default=36)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(measure(options.stage, options.model, options.batch)))
        return
    for name, layers, external in (
        ("single-file", options.layers, False),
        ("external-data", options.external_layers, True),
    ):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.onnx"
            write(path, layers, external=external)
            _report(path, options.batch)


if __name__ == "__main__":
    main()
