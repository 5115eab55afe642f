"""The table of operators is what the operators and their tests are."""

from __future__ import annotations

import onnx
import pytest
from operators_document import DOCUMENT, document

from gradcheck_cli.onnx_ops import table


def written() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def test_the_table_is_up_to_date() -> None:
    if f"by onnx {onnx.__version__} " not in written():
        pytest.skip("written with another onnx, which has other node tests")
    assert written() == document(), "run `make operators`"


def test_every_operator_has_its_line() -> None:
    for entry in table():
        assert f"| {entry.name} |" in written() or entry.domain == "gradcheck.fused"
