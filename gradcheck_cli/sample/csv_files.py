"""Reads .csv data: numbers, with or without a header, only the first rows that the batches ask for."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch

from gradcheck_cli.errors import SampleError
from gradcheck_cli.sample.files import DataFile
from gradcheck_cli.sample.tables import Table

MAX_LINE = 16 << 20
"""Bytes of one line."""
MAX_COLUMNS = 50_000
"""Each becomes a tensor of its own."""
_DELIMITERS = ",;\t|"
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})


def is_text(file: DataFile) -> bool:
    """Tell whether the start of the file is text with a comma-like separator, or numbers line by line."""
    if b"\0" in file.head:
        return False
    try:
        text = file.head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(file.head) - 3:  # else a character is only cut in two
            return False
        text = file.head[: error.start].decode("utf-8-sig")
    first, *rest = text.lstrip().split("\n")[:2]
    return any(mark in first for mark in _DELIMITERS) or any(map(_is_number, (first, *rest)))


def read_csv(file: DataFile, rows: int) -> Table:
    """Return the first `rows` rows. Columns of whole numbers are integers, all others floating.

    Blank lines are skipped; the first row is a header where any of its cells is no number.

    Raises:
        SampleError: ``broken-data`` (ragged rows, no UTF-8), ``unsupported-data`` (text), ``non-finite-data`` (missing
            values), ``empty-data``; each with the line's number.
    """
    file.stream.seek(0)
    text = io.TextIOWrapper(file.stream, encoding="utf-8-sig", newline="")
    try:
        return _table(_rows(text, file), rows, file.path)
    finally:
        text.detach()  # else it would close the stream


Line = tuple[int, list[str]]


def _table(lines: Iterator[Line], rows: int, path: str) -> Table:
    first = next(lines, None)
    if first is None:
        raise SampleError("empty-data", "the table has no rows", hint="give at least one", file=path)
    if len(first[1]) > MAX_COLUMNS:
        message = f"the table has {len(first[1])} columns, over the limit of {MAX_COLUMNS}"
        raise SampleError("unsupported-data", message, hint="write it as an array with numpy.save", file=path)
    named = not all(map(_is_number, first[1]))
    names = _names(first[1], path) if named else [str(index) for index in range(len(first[1]))]
    body = _taken(lines if named else _again(first, lines), rows)
    cells = [_checked(row, names, line, named, path) for line, row in body]
    if not cells:
        raise SampleError("empty-data", "the table has a header and no rows", hint="give some rows", file=path)
    columns = {name: _column([row[index] for row in cells], name, path) for index, name in enumerate(names)}
    return _without_row_numbers(Table(columns, named))


def _rows(text: io.TextIOWrapper, file: DataFile) -> Iterator[Line]:
    """Yield each row that is not blank, with the number of its last line."""
    reader = csv.reader(_bounded(text, file.path), delimiter=_delimiter(file), strict=True, skipinitialspace=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeDecodeError) as error:
            message = f"line {reader.line_num + 1}: this is no line of a table ({error})"
            raise _broken(message, file.path) from error
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def _bounded(text: io.TextIOWrapper, path: str) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise _broken(f"a line has over {MAX_LINE} characters", path)
        yield line


def _delimiter(file: DataFile) -> str:
    """Return the separator that the first line has most of; a comma where it has none."""
    line = file.head.decode("utf-8-sig", errors="replace").lstrip().partition("\n")[0]
    return max(_DELIMITERS, key=lambda mark: (line.count(mark), mark == ","))


def _again(first: Line, rest: Iterator[Line]) -> Iterator[Line]:
    yield first
    yield from rest


def _taken(lines: Iterator[Line], count: int) -> list[Line]:
    return [line for _, line in zip(range(count), lines, strict=False)]


def _names(cells: list[str], path: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise _broken(f"line 1: two columns have the name {twice!r}", path)
    return names


def _checked(row: list[str], names: list[str], line: int, named: bool, path: str) -> list[str]:
    if len(row) != len(names):
        cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
        raise _broken(f"line {line}: the row has {cells}, and the first has {len(names)}", path)
    for name, cell in zip(names, row, strict=True):
        if not _is_number(cell) or cell.strip().casefold() in _MISSING:
            raise _no_number(cell.strip(), f"column {name}" if named else f"column {name} (from 0)", line, path)
    return row


def _no_number(cell: str, column: str, line: int, path: str) -> SampleError:
    if cell.casefold() in _MISSING:
        message = f"line {line}, {column}: the value is missing ({cell!r})"
        hint = "fill it in, or leave those rows out"
        return SampleError("non-finite-data", message, hint=hint, file=path)
    message = f"line {line}, {column}: {cell[:40]!r} is no number"
    hint = "encode text as numbers, as the model's training does, or leave the column out"
    return SampleError("unsupported-data", message, hint=hint, file=path)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _column(cells: list[str], name: str, path: str) -> torch.Tensor:
    if all(cell.strip().lstrip("+-").isdecimal() for cell in cells):
        try:
            return torch.from_numpy(np.array([int(cell) for cell in cells], dtype=np.int64))
        except (OverflowError, ValueError) as error:  # Python itself converts no number of thousands of digits
            message = f"column {name} has a whole number beyond 64 bits"
            raise SampleError("unsupported-data", message, hint="leave the column out", file=path) from error
    return torch.from_numpy(np.array([float(cell) for cell in cells], dtype=np.float64))


def _without_row_numbers(table: Table) -> Table:
    """Leave out the column without a name that pandas writes: it counts the rows."""
    column = table.columns.get("")
    if column is None or len(table.columns) == 1 or not torch.equal(column, torch.arange(len(column))):
        return table
    rest = {name: values for name, values in table.columns.items() if name}
    return Table(rest, table.named, ("the column without a name numbers the rows and is left out",))


def _broken(message: str, path: str) -> SampleError:
    return SampleError("broken-data", message, hint="correct the table", file=path)
