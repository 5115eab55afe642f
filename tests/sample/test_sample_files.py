"""Data files: what is read comes back equal, and what is broken, hostile or unsupported is refused by its slug."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sample_subjects import draw, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.contents import fetch, tensors_of
from gradcheck_cli.sample.pickles import CALLABLE, BrokenPickleError, ForeignPickleError, check_pickle
from gradcheck_cli.sample.stored import with_values


def read(path: Path) -> Any:
    content, source = fetch(str(path), 1 << 20)
    return with_values(tensors_of(content, source))


def slug_of(path: Path | str) -> str:
    with pytest.raises(SampleError) as caught:
        draw(subject_of(mlp()), str(path))
    assert caught.value.hint
    assert caught.value.file == str(path)
    return caught.value.slug


DTYPES = ["<f4", ">f4", "<f8", ">i4", "<i8", "<f2", "|u1", "|b1", "<c8"]


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
            elements={"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind in "fc" else None,
        )
    ),
    fortran=st.booleans(),
)
def test_npy_and_npz_round_trip(array: np.ndarray[Any, Any], fortran: bool, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    given_array = np.asfortranarray(array) if fortran else array
    np.save(folder / "a.npy", given_array)
    np.savez(folder / "a.npz", x=given_array, second=given_array)
    np.savez_compressed(folder / "c.npz", x=given_array)
    np.testing.assert_array_equal(read(folder / "a.npy").numpy(), array)
    both = read(folder / "a.npz")
    assert list(both) == ["x", "second"]
    np.testing.assert_array_equal(both["second"].numpy(), array)
    np.testing.assert_array_equal(read(folder / "c.npz")["x"].numpy(), array)


@pytest.mark.parametrize(
    "content",
    [
        torch.arange(6.0).reshape(3, 2),
        (torch.ones(2), torch.zeros(2, dtype=torch.int64)),
        [torch.ones(2), {"a": torch.ones(1, dtype=torch.bfloat16)}],
        {"x": torch.ones(2, 2).t(), "y": nn.Parameter(torch.ones(2))},
        {"x": torch.zeros(3, dtype=torch.uint16)},
    ],
)
def test_pt_round_trip(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pt")
    torch.testing.assert_close(read(tmp_path / "a.pt"), content, rtol=0, atol=0, check_dtype=True)


def test_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(_npy(np.ones((2, 4), np.float32)))
    assert draw(subject_of(mlp()), str(tmp_path / "a.dat")).samples == 2


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.npz").write_bytes(b"x")
    with pytest.raises(SampleError) as caught:
        draw(subject_of(mlp()), str(tmp_path / "trian.npz"))
    assert caught.value.slug == "missing-data"
    assert "train.npz" in caught.value.hint


@pytest.mark.parametrize("name", ["gone.npz", "a\0b", "x" * 5000, "file.npy/inside.npy"])
def test_names_that_name_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.npy").write_bytes(b"x")
    assert slug_of(f"{tmp_path}/{name}") in ("missing-data", "unreadable-data")


def test_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    assert slug_of(tmp_path / "pipe.npy") == "unsupported-data"


def test_directories_and_devices(tmp_path: Path) -> None:
    assert slug_of(tmp_path) == "unsupported-data"
    assert slug_of("/dev/zero") == "unsupported-data"


def test_empty_file_and_empty_arrays(tmp_path: Path) -> None:
    (tmp_path / "a.npy").touch()
    np.save(tmp_path / "b.npy", np.ones((0, 4), np.float32))
    torch.save([], tmp_path / "c.pt")
    for name in ("a.npy", "b.npy", "c.pt"):
        assert slug_of(tmp_path / name) == "empty-data"


@pytest.mark.parametrize("suffix", ["h5", "pkl", "png", "xyz"])
def test_other_formats_are_refused_with_what_to_do(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(b"\x89\0\xff\xfe")
    assert slug_of(tmp_path / f"a.{suffix}") == "unsupported-data"


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "safetensors", "parquet"])
@pytest.mark.parametrize("content", [b"some text", b"\x80\x04N.", b"PK\x03\x04broken", b"\x93NUMPY\x01\x00"])
def test_wrong_content_under_our_suffixes(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    assert slug_of(tmp_path / f"a.{suffix}") == "broken-data"


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt"])
def test_every_truncation_is_broken(tmp_path: Path, suffix: str) -> None:
    array = np.arange(40, dtype=np.float32).reshape(10, 4)
    whole = tmp_path / f"whole.{suffix}"
    if suffix == "pt":
        torch.save(torch.from_numpy(array), whole)
    else:
        (np.save if suffix == "npy" else np.savez)(whole, array)
    data = whole.read_bytes()
    for length in range(1, len(data) - 1, max(1, len(data) // 40)):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(data[:length])
        assert slug_of(cut) == "broken-data", length


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_a_flipped_bit_of_the_data_is_found(tmp_path: Path, suffix: str) -> None:
    array = np.full((64, 4), 1.5, np.float32)
    path = tmp_path / f"a.{suffix}"
    if suffix == "pt":
        torch.save(torch.from_numpy(array), path)
    else:
        np.savez(path, x=array)
    data = bytearray(path.read_bytes())
    data[data.index(array.tobytes()) + 100] ^= 1
    path.write_bytes(data)
    assert slug_of(path) == "broken-data"


@pytest.mark.parametrize(
    "shape",
    ["(1000000000000,)", "(1000000000, 1000000000, 1000000000)", "(-5, 4)", "(4.5,)", "'x'", "(" * 400 + ")" * 400],
)
def test_hostile_npy_headers(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode()
    raw = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 16
    (tmp_path / "a.npy").write_bytes(raw)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", raw)
    assert slug_of(tmp_path / "a.npy") == "broken-data"
    assert slug_of(tmp_path / "a.npz") == "broken-data"


def test_object_and_text_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}, None], dtype=object))
    np.savez(tmp_path / "o.npz", x=np.ones(3), y=np.array(["a", None], dtype=object))
    np.save(tmp_path / "s.npy", np.array(["a", "b"]))
    np.save(tmp_path / "r.npy", np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]))
    assert slug_of(tmp_path / "o.npy") == "object-array"
    assert slug_of(tmp_path / "o.npz") == "object-array"
    assert slug_of(tmp_path / "s.npy") == "unsupported-data"
    assert slug_of(tmp_path / "r.npy") == "unsupported-data"


def test_zip_tricks(tmp_path: Path) -> None:
    one = _npy(np.ones((2, 4), np.float32))
    with zipfile.ZipFile(tmp_path / "path.npz", "w") as archive:
        archive.writestr("../x.npy", one)
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("x.npy", one)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", one)
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", one)
    for name in ("path", "twice", "lzma"):
        assert slug_of(tmp_path / f"{name}.npz") == "broken-data"


def test_a_declared_size_over_the_cap_is_refused_before_reading(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _npy(np.ones((2, 4), np.float32)))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    central = data.index(b"PK\x01\x02")
    # A zip64 field that says 2^40 bytes.
    extra = struct.pack("<HHQ", 1, 8, 1 << 40)
    data[central + 24 : central + 28] = b"\xff" * 4
    data[central + 30 : central + 32] = struct.pack("<H", len(extra))
    name_end = central + 46 + len("x.npy")
    grown = data[:name_end] + extra + data[name_end:]
    end = grown.index(b"PK\x05\x06")
    size = struct.unpack("<I", grown[end + 12 : end + 16])[0]
    grown[end + 12 : end + 16] = struct.pack("<I", size + len(extra))
    (tmp_path / "huge.npz").write_bytes(grown)
    with pytest.raises(SampleError, match="over the limit") as caught:
        draw(subject_of(mlp()), str(tmp_path / "huge.npz"))
    assert caught.value.slug == "broken-data"


# ------------------------------------------------------------------------------------------------------------- pickles


class Runs:
    def __reduce__(self) -> Any:
        return os.mkdir, ("must-not-exist",)


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Runs()}, "evil.pt")
    assert slug_of("evil.pt") == "unsupported-data"
    assert not Path("must-not-exist").exists()


@pytest.mark.parametrize(
    "content", [nn.Linear(2, 2), {"x": np.ones(3)}, {"x": {1, 2}}, {(1, 2): torch.ones(1)}, "text"]
)
def test_pt_of_other_things(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pt")
    assert slug_of(tmp_path / "a.pt") == "unsupported-data"


def test_torchscript_and_old_files_are_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.ReLU()), str(tmp_path / "a.pt"))
    torch.save(torch.ones(2), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert slug_of(tmp_path / "a.pt") == "unsupported-data"
    assert slug_of(tmp_path / "old.pt") == "broken-data"


def _as_pt(path: Path, pickled: bytes) -> Path:
    """A .pt whose pickle is `pickled`."""
    buffer = io.BytesIO()
    torch.save(torch.arange(4.0), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as new:
        for member in source.infolist():
            new.writestr(member.filename, pickled if member.filename.endswith("data.pkl") else source.read(member))
    return path


def _calling(function: str, argument: bytes) -> bytes:
    return b"\x80\x02c" + function.encode() + b"\n" + argument + b"\x85R."


@pytest.mark.parametrize(
    "pickled",
    [
        _calling("__builtin__\nbytearray", b"J\xff\xff\xff\x7f"),
        _calling("torch\nFloatStorage", b"J\xff\xff\xff\x7f"),
        _calling("torch\nFloatTensor", b"J\xff\xff\xff\x7f"),
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
        b"\x80\x02}" + b")q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.",
    ],
)
def test_bombs_of_a_few_bytes(tmp_path: Path, pickled: bytes) -> None:
    assert slug_of(_as_pt(tmp_path / "a.pt", pickled)) in ("unsupported-data", "broken-data")


def test_lists_that_share_lists_do_not_expand_without_bound(tmp_path: Path) -> None:
    content: list[Any] = [torch.ones(1)]
    for _ in range(50):
        content = [content, content]
    torch.save(content, tmp_path / "a.pt")
    assert slug_of(tmp_path / "a.pt") == "unsupported-data"


def test_tensors_that_claim_more_than_they_have(tmp_path: Path) -> None:
    torch.save(torch.ones(1).expand(10**12), tmp_path / "a.pt")
    assert slug_of(tmp_path / "a.pt") == "broken-data"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_opcode_check_survives_any_damage(data: st.DataObject) -> None:
    honest = pickle.dumps({"a": [1, 2], "b": (3.5, None)}, protocol=2)
    damaged = bytearray(honest)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_pickle(bytes(damaged))
    except (ForeignPickleError, BrokenPickleError):
        return
    with contextlib.suppress(Exception):
        _Watched(io.BytesIO(bytes(damaged))).load()
    assert set(_Watched.looked_up) <= CALLABLE


class _Watched(pickle.Unpickler):
    """Imports nothing, and remembers what it was asked for."""

    looked_up: ClassVar[list[str]] = []

    def find_class(self, module: str, name: str) -> Any:
        self.looked_up.append(f"{module} {name}")
        raise pickle.UnpicklingError


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_importing_the_stage_imports_no_torch() -> None:
    code = (
        "import sys, gradcheck_cli.sample, gradcheck_cli.sample.interface; print({'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
