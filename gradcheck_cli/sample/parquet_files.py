"""Reads .parquet data through pyarrow, an extra: only the row groups that hold the rows asked for."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from gradcheck_cli.errors import GradcheckError, SampleError
from gradcheck_cli.sample.arrays import tensor_of
from gradcheck_cli.sample.files import DataFile
from gradcheck_cli.sample.tables import Table

MAGIC = b"PAR1"


def read_parquet(file: DataFile, rows: int) -> Table:
    """Return the first `rows` rows; columns of numbers ``(B,)``, of lists of one length ``(B, …)``.

    Raises:
        SampleError: ``missing-package``, ``broken-data``, ``unsupported-data`` (text and other kinds),
            ``non-finite-data`` (missing values), ``empty-data``.
    """
    parquet = _pyarrow("pyarrow.parquet", file.path)
    file.stream.seek(0)
    try:
        with parquet.ParquetFile(file.stream) as opened:
            groups = list(_batches(opened, rows))
    except (MemoryError, GradcheckError):
        raise
    except Exception as error:  # pyarrow raises many kinds on garbage; all mean the same
        message = "pyarrow cannot read it: " + (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SampleError("broken-data", message, hint="write the table again", file=file.path) from error
    if not groups:
        raise SampleError("empty-data", "the table has no rows", hint="give at least one", file=file.path)
    table = _pyarrow("pyarrow", file.path).Table.from_batches(groups)
    if table.num_columns == 0:
        raise SampleError("empty-data", "the table has no columns", hint="give at least one", file=file.path)
    # pandas keeps its index as a column of its own.
    kept = [name for name in table.column_names if not name.startswith("__index_level_")] or table.column_names
    return Table({name: _column(table.column(name), name, file.path) for name in kept}, named=True)


def _pyarrow(module: str, path: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = "reading Parquet tables needs the package pyarrow, which is not installed"
        hint = "pip install 'gradcheck-cli[parquet]', or save the arrays with numpy.savez('data.npz', x=x, y=y)"
        raise SampleError("missing-package", message, hint=hint, file=path) from error


def _batches(opened: Any, rows: int) -> Any:
    """Yield the first `rows` rows of the first row groups that hold as many."""
    left, groups = rows, []
    for group in range(opened.metadata.num_row_groups):
        if left > 0:
            groups.append(group)
            left -= opened.metadata.row_group(group).num_rows
    left = rows
    for batch in opened.iter_batches(batch_size=min(rows, 65536), row_groups=groups, use_threads=False):
        if left > 0 and batch.num_rows:
            yield batch.slice(0, left)
            left -= batch.num_rows


def _column(column: Any, name: str, path: str) -> torch.Tensor:
    array = column.combine_chunks()
    if array.null_count:
        first = next(row for row, value in enumerate(array.is_null().to_pylist()) if value)
        message = f"row {first}, column {name}: the value is missing"
        hint = "fill it in, or leave those rows out"
        raise SampleError("non-finite-data", message, hint=hint, file=path)
    return tensor_of(_values(array, name, path), f"column {name}", path)


def _values(array: Any, name: str, path: str) -> np.ndarray[Any, Any]:
    types = _pyarrow("pyarrow.types", path)
    kind = array.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        values: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
        return values
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = array.flatten()
        lengths = {len(value) for value in array}
        if len(lengths) == 1 and not inner.null_count:
            flat = _values(inner, name, path)
            return flat.reshape(len(array), lengths.pop(), *flat.shape[1:])
        message = f"column {name} has lists of different lengths, or with missing values"
        raise SampleError("unsupported-data", message, hint="pad them to one length", file=path)
    message = f"column {name} holds {kind}, which is no number"
    hint = "encode it as numbers, as the model's training does, or leave the column out"
    raise SampleError("unsupported-data", message, hint=hint, file=path)
