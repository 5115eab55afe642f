"""Large files: only the rows that the batches ask for are read, and what is read is what was written."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sample_subjects import draw, mlp, subject_of

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.contents import fetch, tensors_of
from gradcheck_cli.sample.files import open_data
from gradcheck_cli.sample.stored import StoredArray, with_values
from gradcheck_cli.tensors import leaves

ROWS, WIDTH = 200_000, 16
"""12.8 MB of float32."""


def slug_of(path: Path) -> str:
    with pytest.raises(SampleError) as caught:
        draw(subject_of(mlp()), str(path))
    assert caught.value.hint
    return caught.value.slug


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    x = np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH) / 1e6
    y = np.arange(ROWS) % 3
    np.save(folder / "c.npy", x)
    np.save(folder / "f.npy", np.asfortranarray(x))
    np.savez(folder / "a.npz", x=x, y=y)
    np.savez_compressed(folder / "z.npz", x=x, y=y)
    torch.save({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, folder / "a.pt")
    safetensors.torch.save_file({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, folder / "a.safetensors")
    return folder


@pytest.mark.parametrize("name", ["c.npy", "f.npy", "a.npz", "z.npz", "a.pt", "a.safetensors"])
def test_only_the_rows_asked_for_are_read(large: Path, name: str) -> None:
    model = subject_of(mlp(WIDTH))
    draw(model, str(large / name), batch_size=1, batches=1)  # imports, caches
    tracemalloc.start()
    try:
        sample = draw(model, str(large / name), batch_size=8, batches=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # whole, it would be 12.8 MB; zipfile and zlib buffers take some
    assert [batch.size for batch in sample.batches] == [8, 8, 8]
    x = torch.cat([next(leaves((batch.args, batch.kwargs))) for batch in sample.batches])
    expected = torch.arange(24 * WIDTH, dtype=torch.float32).reshape(24, WIDTH) / 1e6
    torch.testing.assert_close(x, expected)
    if sample.batches[0].target is not None:
        assert torch.equal(torch.cat([batch.target for batch in sample.batches]), torch.arange(24) % 3)


def test_inputs_of_different_lengths_are_still_read_whole(tmp_path: Path) -> None:
    # Time-major: 40 steps of 6 samples, one target for each sample.
    np.savez(tmp_path / "a.npz", x=np.zeros((40, 6, 4), np.float32), y=np.arange(6) % 3)
    content = tensors_of(*fetch(str(tmp_path / "a.npz"), 4))
    assert all(isinstance(array, StoredArray) for array in content.values())
    model = torch.nn.LSTM(4, 3)

    class Last(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.lstm(x)[0][-1]
            return out

    sample = draw(subject_of(Last()), str(tmp_path / "a.npz"), batch_size=2, batches=1)
    assert next(leaves((sample.batches[0].args, sample.batches[0].kwargs))).shape == (40, 6, 4)


def test_a_bad_value_past_the_rows_that_are_read_is_none_of_ours(tmp_path: Path) -> None:
    x = np.zeros((100, 4), np.float32)
    x[50, 1] = np.nan
    np.save(tmp_path / "a.npy", x)
    assert draw(subject_of(mlp()), str(tmp_path / "a.npy"), batch_size=10, batches=2).samples == 20
    with pytest.raises(SampleError) as caught:
        draw(subject_of(mlp()), str(tmp_path / "a.npy"), batch_size=60, batches=1)
    assert caught.value.slug == "non-finite-data"
    assert "(50, 1)" in caught.value.message


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt", "a.safetensors"])
@pytest.mark.parametrize("change", ["cut", "replaced"])
def test_a_file_that_changes_between_header_and_values(tmp_path: Path, name: str, change: str) -> None:
    x = np.ones((50, 4), np.float32)
    path = tmp_path / name
    write: dict[str, Callable[[], object]] = {
        "a.npy": lambda: np.save(path, x),
        "a.npz": lambda: np.savez(path, x=x),
        "a.pt": lambda: torch.save(torch.from_numpy(x), path),
        "a.safetensors": lambda: safetensors.torch.save_file({"x": torch.from_numpy(x)}, path),
    }
    write[name]()
    content = tensors_of(*fetch(str(path), 10))
    if change == "cut":
        os.truncate(path, path.stat().st_size - 40)
    else:
        path.rename(tmp_path / "other")
        path.write_bytes(b"\0" * (tmp_path / "other").stat().st_size)
    with pytest.raises(SampleError) as caught:
        with_values(content)
    assert caught.value.slug == "changed-data"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(12.0)[2:8:2],
        torch.ones(1).expand(5, 2),
        torch.tensor(3.5),
        torch.tensor([True, False]),
        torch.arange(3, dtype=torch.bfloat16),
        torch.tensor([1 + 2j]),
        torch.zeros(3, 1, 2, dtype=torch.uint8),
    ],
)
def test_pt_views_and_kinds(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save([tensor, {"again": tensor}], tmp_path / "a.pt")
    content = with_values(tensors_of(*fetch(str(tmp_path / "a.pt"), 100)))
    assert torch.equal(content[0], tensor)
    assert content[0].dtype == tensor.dtype
    assert torch.equal(content[1]["again"], tensor)


def test_pt_tensors_that_reach_past_their_storage(tmp_path: Path) -> None:
    torch.save(torch.arange(40.0).reshape(10, 4), tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    assert members[pickled].count(b"K\x0aK\x04\x86") == 1  # the size (10, 4)
    members[pickled] = members[pickled].replace(b"K\x0aK\x04\x86", b"K\x0bK\x04\x86")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert slug_of(tmp_path / "b.pt") == "broken-data"


# --------------------------------------------------------------------------------------------------------- safetensors


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.uint16, torch.bool),
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    arrays = {
        "x": torch.arange(12).reshape(3, 4).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "y": torch.tensor([0, 1, 0]),
    }
    safetensors.torch.save_file(arrays, tmp_path / "a.safetensors", metadata={"made": "by a test"})
    content = with_values(tensors_of(*fetch(str(tmp_path / "a.safetensors"), 100)))
    assert set(content) == set(arrays)
    for name, array in arrays.items():
        assert content[name].dtype == array.dtype
        assert torch.equal(content[name], array)


def _safetensors(path: Path, header: Any, body: bytes = b"\0" * 32) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def _entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]} | changes


@pytest.mark.parametrize(
    "header",
    [
        {"x": _entry(shape=[3, 4])},
        {"x": _entry(data_offsets=[0, 64], shape=[4, 4])},
        {"x": _entry(data_offsets=[32, 0])},
        {"x": _entry(data_offsets=[-32, 0])},
        {"x": _entry(data_offsets=[0.0, 32.0])},
        {"x": _entry(shape=[True, 8])},
        {"x": _entry(shape=[1] * 200)},
        {"x": _entry(shape=[2**62, 4])},
        {"x": _entry(shape="2")},
        {"x": _entry(more=1)},
        {"x": {"dtype": "F32"}},
        {"x": 3},
        {"x": _entry(shape=[1, 4], data_offsets=[0, 16])},
        {"x": _entry(), "y": _entry()},
        {"x": _entry(shape=[4], data_offsets=[0, 16]), "y": _entry(shape=[2], data_offsets=[24, 32])},
        b'{"x": {"dtype":"F32","shape":[8],"data_offsets":[0,32]}, "x": {"dtype":"F32","shape":[8],"data_offsets":[0,32]}}',
        b"{" * 5000,
        b'{"x": ' + b"[" * 50_000,
        b'{"x": \xff}',
        b"{" + b'"a":{},' * 120_000 + b'"b":{}}',
    ],
)
def test_hostile_safetensors_headers(tmp_path: Path, header: Any) -> None:
    assert slug_of(_safetensors(tmp_path / "a.safetensors", header)) == "broken-data"


def test_safetensors_of_unknown_dtypes(tmp_path: Path) -> None:
    path = _safetensors(tmp_path / "a.safetensors", {"x": _entry(dtype="F4")})
    assert slug_of(path) == "unsupported-data"


def test_every_truncation_of_safetensors_is_broken(tmp_path: Path) -> None:
    safetensors.torch.save_file({"x": torch.ones(10, 4)}, tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    for length in range(1, len(data), 7):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        assert slug_of(tmp_path / "cut.safetensors") == "broken-data", length


def test_a_stored_array_has_no_values_of_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.float32))
    content, _ = fetch(str(tmp_path / "a.npy"), 1)
    assert content.is_meta
    assert tuple(content.shape) == (3, 2)
    with open_data(str(tmp_path / "a.npy")) as file:
        assert file.size == 128 + 24
    assert torch.equal(content.first(2), torch.ones(2, 2))
