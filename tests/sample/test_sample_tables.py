"""Tables: what is a header, which column is the target, how columns become inputs, and what is refused with its line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_subjects import Forward, draw, mlp, subject_of
from torch import nn

from gradcheck_cli.errors import SampleError


def sample_of(path: Path, module: nn.Module | None = None, **options: Any) -> Any:
    return draw(subject_of(module or mlp(2)), str(path), **options)


def error_of(path: Path, module: nn.Module | None = None, **options: Any) -> SampleError:
    with pytest.raises(SampleError) as caught:
        sample_of(path, module, **options)
    assert caught.value.hint
    assert caught.value.file == str(path)
    return caught.value


def csv(folder: Path, text: str, name: str = "a.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


HEADED = "a,b,label\n1,2.5,0\n3,-4e-1,2\n"


def test_columns_become_one_matrix_and_the_target_goes_by_name(tmp_path: Path) -> None:
    sample = sample_of(csv(tmp_path, HEADED))
    (batch,) = sample.batches
    torch.testing.assert_close(batch.args[0], torch.tensor([[1, 2.5], [3, -0.4]]))
    assert torch.equal(batch.target, torch.tensor([0, 2]))
    assert sample.loss_name == "cross-entropy"


@pytest.mark.parametrize("name", ["label", "LABEL", "y", "Target", "targets", "labels"])
def test_the_names_of_a_target(tmp_path: Path, name: str) -> None:
    sample = sample_of(csv(tmp_path, f"{name},a,b\n1,2,3\n"))
    assert sample.batches[0].target.tolist() == [1]
    assert sample.batches[0].args[0].tolist() == [[2, 3]]


def test_target_by_option(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,price,b\n1,2.5,3\n4,5.5,6\n")
    sample = sample_of(path, mlp(2, 1), target="price")
    assert sample.batches[0].target.tolist() == [2.5, 5.5]
    assert sample.loss_name == "mse"
    error = error_of(path, target="prize")
    assert error.slug == "missing-target"
    assert "a, price, b" in error.message


@pytest.mark.parametrize(("number", "expected"), [("0", [1, 4]), ("-1", [3, 6])])
def test_without_a_header_columns_go_by_number(tmp_path: Path, number: str, expected: list[int]) -> None:
    path = csv(tmp_path, "1,2,3\n4,5,6\n")
    assert sample_of(path, mlp(2, 7), target=number).batches[0].target.tolist() == expected
    assert error_of(path, target="3").slug == "missing-target"


def test_without_any_target_all_columns_are_inputs(tmp_path: Path) -> None:
    sample = sample_of(csv(tmp_path, "1;2\n3;4\n"))
    assert sample.batches[0].args[0].tolist() == [[1, 2], [3, 4]]
    assert sample.loss_name == "none"


def test_target_in_a_file_of_its_own(tmp_path: Path) -> None:
    path, target = csv(tmp_path, "1,2\n3,4\n"), csv(tmp_path, "klass\n1\n0\n", "t.csv")
    assert sample_of(path, target=str(target)).batches[0].target.tolist() == [1, 0]


def test_columns_named_as_the_inputs_go_by_name(tmp_path: Path) -> None:
    def forward(self: Any, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        return (self.users(user) * self.items(item)).sum(1)  # type: ignore[no-any-return]

    model = Forward(forward, users=nn.Embedding(5, 3), items=nn.Embedding(7, 3))
    sample = sample_of(csv(tmp_path, "item,user,y\n6,4,1.5\n0,1,2.5\n"), model)
    assert sample.batches[0].kwargs["item"].tolist() == [6, 0]
    assert sample.batches[0].kwargs["user"].tolist() == [4, 1]
    assert sample.loss_name == "mse"


def test_integers_for_a_model_that_takes_tokens(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(9, 2), nn.Flatten(), nn.Linear(6, 2))
    sample = sample_of(csv(tmp_path, "1,2,8\n0,3,4\n"), model)
    assert sample.batches[0].args[0].dtype == torch.int64


@pytest.mark.parametrize(
    "text",
    [
        "1,2\r\n3,4\r\n",
        "\ufeff1,2\n3,4",
        "1\t2\n\n3\t4\n\n",
        '"1","2"\n 3, 4 \n',
        "+1|2.0\n3|4\n",
        ",a,b\n0,1,2\n1,3,4\n",
    ],
)
def test_dialects(tmp_path: Path, text: str) -> None:
    assert sample_of(csv(tmp_path, text)).batches[0].args[0].tolist() == [[1, 2], [3, 4]]


def test_only_as_many_lines_as_asked_for(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n" + "1,2\n" * 12 + "this is never read\n")
    assert sample_of(path, batch_size=4, batches=3).samples == 12
    assert error_of(path, batch_size=5, batches=3).slug == "broken-data"


@pytest.mark.parametrize(
    ("text", "slug", "says"),
    [
        ("a,b\n1,2\n3\n", "broken-data", "line 3"),
        ("a,b\n1,2\n\n3,4,5\n", "broken-data", "line 4"),
        ("a,b\n1,2\n3,red\n", "unsupported-data", "line 3, column b: 'red'"),
        ("a,b\n1,2\n3,\n", "non-finite-data", "line 3, column b"),
        ("a,b\n1,NA\n", "non-finite-data", "line 2, column b"),
        ("a,b\n1,nan\n", "non-finite-data", "line 2, column b"),
        ("a,b\n1,inf\n", "non-finite-data", "array b"),
        ("a,b\n1,1_000\n", "unsupported-data", "'1_000'"),
        ("a,a\n1,2\n", "broken-data", "'a'"),
        ("a,b\n", "empty-data", "no rows"),
        ("\n\n1\n", "data-does-not-fit", "(1, 1)"),
        ('a,b\n1,"2\n', "broken-data", "line"),
        ("a,b\n1,99999999999999999999\n", "unsupported-data", "64 bits"),
    ],
)
def test_what_is_refused_names_the_line(tmp_path: Path, text: str, slug: str, says: str) -> None:
    error = error_of(csv(tmp_path, text))
    assert (error.slug, says in error.message) == (slug, True), error.message


@pytest.mark.parametrize("content", [b"a,b\n1,\xff\n", b"a,b\n1,2\0\n", b"\xff\xfe1,2\n", b"just some text\n"])
def test_what_is_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert error_of(tmp_path / "a.csv").slug == "broken-data"


@settings(max_examples=80, deadline=None)
@given(content=st.binary(min_size=1, max_size=80))
def test_any_bytes_give_a_sample_or_an_error_of_ours(content: bytes, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("bytes") / "a.csv"
    path.write_bytes(b"a,b\n1,2\n" + content)
    slug = "fine"
    try:
        sample_of(path)
    except SampleError as error:
        slug = error.slug
    assert slug in ("fine", "broken-data", "unsupported-data", "non-finite-data")


# ------------------------------------------------------------------------------------------------------------- parquet


def parquet(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "a.parquet", **options)
    return folder / "a.parquet"


def test_parquet_is_read_as_a_table(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"a": np.array([1, 2, 3], np.float32), "b": [True, False, True], "y": [0, 1, 2]})
    (batch,) = sample_of(path).batches
    assert batch.args[0].tolist() == [[1, 1], [2, 0], [3, 1]]
    assert batch.target.tolist() == [0, 1, 2]


def test_parquet_reads_row_groups_as_far_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 5000
    columns = {"a": np.arange(count, dtype=float), "b": np.zeros(count)}
    path = parquet(tmp_path, columns, row_group_size=10, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    # The pages of all rows after the first twenty are overwritten: they must never be looked at.
    meta = pq.ParquetFile(path).metadata
    first = meta.row_group(3).column(0).data_page_offset
    last = meta.row_group(meta.num_row_groups - 1).column(1)
    data[first : last.data_page_offset + last.total_compressed_size] = b"\xff" * (
        last.data_page_offset + last.total_compressed_size - first
    )
    path.write_bytes(data)
    sample = sample_of(path, batch_size=10, batches=2)
    assert torch.cat([batch.args[0][:, 0] for batch in sample.batches]).tolist() == list(range(20))
    assert error_of(path, batch_size=50, batches=2).slug == "broken-data"


def test_parquet_columns_of_lists(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0, 1]})
    (batch,) = sample_of(path).batches
    assert next(iter((*batch.args, *batch.kwargs.values()))).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("columns", "slug", "says"),
    [
        ({"a": [1.0, 2.0], "b": ["x", "y"]}, "unsupported-data", "column b"),
        ({"a": [1.0, None], "b": [1, 2]}, "non-finite-data", "row 1, column a"),
        ({"a": [1.0, float("nan")], "b": [1, 2]}, "non-finite-data", "array a"),
        ({"a": [[1.0], [1.0, 2.0]]}, "unsupported-data", "different lengths"),
        ({"a": pa.array([], pa.float32())}, "empty-data", "no rows"),
    ],
)
def test_parquet_that_is_refused(tmp_path: Path, columns: dict[str, Any], slug: str, says: str) -> None:
    error = error_of(parquet(tmp_path, columns))
    assert (error.slug, says in error.message) == (slug, True), error.message


def test_every_truncation_of_parquet_is_broken(tmp_path: Path) -> None:
    data = parquet(tmp_path, {"a": np.arange(50.0), "b": np.arange(50.0)}).read_bytes()
    for length in range(4, len(data), 61):
        (tmp_path / "cut.parquet").write_bytes(data[:length])
        assert error_of(tmp_path / "cut.parquet").slug == "broken-data", length


def test_without_pyarrow_the_message_says_what_to_install(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"a": [1.0]})
    code = (
        "import sys; sys.modules['pyarrow'] = sys.modules['pyarrow.parquet'] = None\n"
        "from gradcheck_cli.sample.contents import fetch\n"
        "from gradcheck_cli.errors import SampleError\n"
        f"try: fetch({str(path)!r}, 4)\n"
        "except SampleError as error: print(error.slug, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("missing-package pip install 'gradcheck-cli[parquet]'")
