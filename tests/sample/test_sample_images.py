"""Folders of images: which class is which, what the model takes decides the shape, and what is no image is refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sample_subjects import draw, subject_of
from torch import nn

from gradcheck_cli.errors import SampleError, UsageError


def picture(path: Path, colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (20, 12)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def cnn(channels: int = 3, classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


def fixed(side: int, channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * side * side, 3))


def slug_of(path: Path, **options: Any) -> str:
    with pytest.raises((SampleError, UsageError)) as caught:
        draw(subject_of(cnn()), str(path), **options)
    assert caught.value.hint
    return caught.value.slug


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for name, count, kind in (("cat", 3, "png"), ("ant", 2, "jpg"), ("dog", 1, "bmp")):
        for index in range(count):
            picture(tmp_path / "set" / name / f"{index}.{kind}")
    return tmp_path / "set"


def test_the_target_is_the_index_of_the_class_folder(classes: Path) -> None:
    sample = draw(subject_of(cnn()), str(classes))
    (batch,) = sample.batches
    # One of each class in turn, in the alphabetical order of the folders.
    assert batch.target.tolist() == [0, 1, 2, 0, 1, 1]
    assert sample.loss_name == "cross-entropy"
    assert any("3 class folders" in remark for remark in sample.remarks)


def test_only_as_many_as_asked_for_are_opened(classes: Path) -> None:
    (classes / "cat" / "2.png").write_bytes(b"never opened")
    sample = draw(subject_of(cnn()), str(classes), batch_size=2, batches=2)
    assert [batch.target.tolist() for batch in sample.batches] == [[0, 1], [2, 0]]


def test_a_flat_folder_has_no_target(tmp_path: Path) -> None:
    for kind in ("png", "jpg", "bmp", "webp"):
        picture(tmp_path / f"a.{kind}")
    sample = draw(subject_of(cnn()), str(tmp_path))
    assert (sample.samples, sample.loss_name, sample.batches[0].target) == (4, "none", None)


@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_images_get_the_size_that_the_model_takes(tmp_path: Path, side: int) -> None:
    picture(tmp_path / "a.png")
    sample = draw(subject_of(fixed(side)), str(tmp_path))
    assert sample.batches[0].args[0].shape == (1, 3, side, side)


def test_a_model_that_takes_any_size_gets_the_images_own(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(20, 12))
    assert draw(subject_of(cnn()), str(tmp_path)).batches[0].args[0].shape == (1, 3, 12, 20)
    picture(tmp_path / "b.png", size=(40, 40))
    assert draw(subject_of(cnn()), str(tmp_path)).batches[0].args[0].shape == (2, 3, 224, 224)


def test_channels_go_by_the_first_convolution(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    sample = draw(subject_of(cnn(1)), str(tmp_path))
    assert sample.batches[0].args[0].shape == (1, 1, 12, 20)
    assert any("mean 0.5" in remark for remark in sample.remarks)


def test_the_size_can_be_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    sample = draw(subject_of(cnn()), str(tmp_path), input_shape="3,8,10")
    assert sample.batches[0].args[0].shape == (1, 3, 8, 10)
    assert slug_of(tmp_path, input_shape="8,10") == "bad-option"


def test_values_are_scaled_and_normalised(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (255, 0, 51))
    x = draw(subject_of(cnn()), str(tmp_path)).batches[0].args[0]
    expected = (torch.tensor([1.0, 0.0, 0.2]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(x[0, :, 3, 4], expected)


def test_left_stays_left_and_top_stays_top(tmp_path: Path) -> None:
    pixels = np.zeros((12, 20, 3), np.uint8)
    pixels[0, -1] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    x = draw(subject_of(cnn()), str(tmp_path)).batches[0].args[0][0, 0]
    assert divmod(int(x.argmax()), 20) == (0, 19)


def test_palettes_and_transparency_are_converted(tmp_path: Path) -> None:
    Image.new("P", (8, 8)).save(tmp_path / "p.png")
    Image.new("RGBA", (8, 8)).save(tmp_path / "a.png")
    Image.new("1", (8, 8)).save(tmp_path / "b.png")
    assert draw(subject_of(cnn()), str(tmp_path)).batches[0].args[0].shape == (3, 3, 8, 8)


def test_sixteen_bits_are_not_guessed_at(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "a.png")
    assert slug_of(tmp_path) == "unsupported-data"


def _bomb(path: Path, side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_decompression_bombs(tmp_path: Path, side: int) -> None:
    _bomb(tmp_path / "a.png", side)
    # Pillow itself refuses the very large ones, as broken.
    assert slug_of(tmp_path) in ("unsupported-data", "broken-data")


@pytest.mark.parametrize(
    "content", [b"GIF89a" + b"\0" * 40, b"%!PS-Adobe-3.0 EPSF-3.0\n", b"text", b"\x89PNG\r\n\x1a\n"]
)
def test_other_contents_under_an_image_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert slug_of(tmp_path) == "broken-data"


def test_truncated_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    for length in range(1, len(data) - 30, 41):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / "a.png").write_bytes(data[:length])
        assert slug_of(folder) == "broken-data", length


def test_other_folders(tmp_path: Path) -> None:
    assert slug_of(tmp_path) == "unsupported-data"
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_text("x")
    assert slug_of(tmp_path) == "unsupported-data"
    os.mkfifo(tmp_path / "pipe.png")
    assert slug_of(tmp_path) == "unsupported-data"


def test_without_pillow_the_message_says_what_to_install(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    code = (
        "import sys; sys.modules['PIL'] = sys.modules['PIL.Image'] = None\n"
        "import torch\nfrom gradcheck_cli.sample.folders import read_folder\n"
        "from gradcheck_cli.sample.images import read_images\n"
        "from gradcheck_cli.errors import SampleError\n"
        f"try: read_images(read_folder({str(tmp_path)!r}, 4), 3, 8, 8)\n"
        "except SampleError as error: print(error.slug, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("missing-package pip install 'gradcheck-cli[images]'")
