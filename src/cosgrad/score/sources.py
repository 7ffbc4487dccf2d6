"""Vectors in files, read by rows: memory-mapped .npy, and Parquet and Arrow IPC in a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.require import require

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".ipc", ".feather")
READ_ROWS = 8192
GOOD, NULL, WRONG_LENGTH, NOT_FINITE = range(4)
REASONS = {NULL: "null", WRONG_LENGTH: "wrong length", NOT_FINITE: "not finite"}
Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


class SourceError(ValueError):
    """A file that holds no vectors, or not those that are asked for."""


class Source(ABC):
    """Rows of vectors.

    Attributes:
        rows: How many there are.
        length: Their length; None where no row tells it.
        dtype: Of their elements.
    """

    rows: int
    length: int | None
    dtype: np.dtype[Any]

    @abstractmethod
    def read(self, start: int, stop: int, length: int) -> Rows:
        """Return the rows [start, stop) as an array (n, length), and why each is bad (0: it is not)."""


class Npy(Source):
    """A two-dimensional array in a .npy file, memory-mapped."""

    def __init__(self, path: Path) -> None:
        try:
            self.array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise SourceError(f"{path} is no .npy file that can be mapped: {error}") from None
        if self.array.ndim != 2:
            raise SourceError(f"{path} has shape {self.array.shape}, must have two axes, rows of vectors")
        if self.array.dtype.kind not in "fiu":
            raise SourceError(f"{path} is of dtype {self.array.dtype}, must be of real numbers")
        self.rows, self.length = self.array.shape
        self.dtype = self.array.dtype

    def read(self, start: int, stop: int, length: int) -> Rows:
        """See the base class."""
        assert length == self.length
        return np.array(self.array[start:stop]), np.zeros(stop - start, np.int8)


class Column(Source):
    """A column of vectors in a file that is read in a stream; reading on is cheap, going back is not."""

    def __init__(self, path: Path, column: str | None) -> None:
        require("pyarrow", "score", "15", user="cosgrad score")
        from cosgrad.score import columns

        self.path, self.columns = path, columns
        schema = self._open()
        names = [field.name for field in schema if columns.is_vector(field.type)]
        if column is None and len(names) != 1:
            raise SourceError(f"{path} has columns of vectors {names}: say which, as {path}:COLUMN")
        self.column = names[0] if column is None else column
        if self.column not in schema.names:
            raise SourceError(f"{path} has no column {self.column!r}, it has {schema.names}")
        kind = schema.field(self.column).type
        if not columns.is_vector(kind):
            raise SourceError(f"column {self.column!r} of {path} is of type {kind}, must be lists of numbers")
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        self.rows = self._count()
        self.length = columns.fixed_length(kind)
        if self.length is None:
            found = (columns.first_length(part) for part in self._stream(0))
            self.length = next((n for n in found if n is not None), None)
        self._at, self._parts = 0, iter(())
        self._rest: Any = None

    @abstractmethod
    def _open(self) -> Any:
        """Open the file and return its schema."""

    @abstractmethod
    def _count(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def _stream(self, start: int) -> Iterator[Any]:
        """Yield the column in parts, from a row on."""

    def read(self, start: int, stop: int, length: int) -> Rows:
        """See the base class."""
        if start != self._at:
            self._at, self._parts, self._rest = start, self._stream(start), None
        elif start == 0:
            self._parts, self._rest = self._stream(0), None
        found = []
        while self._at < stop:
            part = next(self._parts) if self._rest is None else self._rest
            taken = part.slice(0, stop - self._at)
            self._rest = part.slice(len(taken)) if len(taken) < len(part) else None
            self._at += len(taken)
            found.append(self.columns.vectors(taken, length))
        rows, reasons = zip(*found, strict=True)
        return np.concatenate(rows), np.concatenate(reasons)


class Parquet(Column):
    """A column of a Parquet file."""

    def _open(self) -> Any:
        import pyarrow.parquet as pq

        # Buffered: a column chunk is read as it is decoded, not at once.
        self.file = pq.ParquetFile(self.path, buffer_size=1 << 20, pre_buffer=False)
        return self.file.schema_arrow

    def _count(self) -> int:
        return int(self.file.metadata.num_rows)

    def _stream(self, start: int) -> Iterator[Any]:
        metadata, group = self.file.metadata, 0
        while group < metadata.num_row_groups and start >= metadata.row_group(group).num_rows:
            start -= metadata.row_group(group).num_rows
            group += 1
        groups = range(group, metadata.num_row_groups)
        for batch in self.file.iter_batches(READ_ROWS, row_groups=list(groups), columns=[self.column]):
            yield from _after(batch.column(0), start)
            start = max(start - batch.num_rows, 0)


class Arrow(Column):
    """A column of an Arrow IPC file or stream."""

    def _open(self) -> Any:
        import pyarrow as pa

        try:
            with pa.ipc.open_file(pa.memory_map(str(self.path))) as reader:
                self.sizes = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
                self.streamed = False
                return reader.schema
        except pa.ArrowInvalid:
            pass
        try:
            with pa.ipc.open_stream(pa.OSFile(str(self.path))) as reader:
                self.streamed = True
                self.sizes = [batch.num_rows for batch in reader]
                return reader.schema
        except pa.ArrowInvalid as error:
            raise SourceError(f"{self.path} is no Arrow IPC file: {error}") from None

    def _count(self) -> int:
        return sum(self.sizes)

    def _stream(self, start: int) -> Iterator[Any]:
        import pyarrow as pa

        opened = pa.ipc.open_stream if self.streamed else pa.ipc.open_file
        with opened(pa.OSFile(str(self.path))) as reader:
            for i, size in enumerate(self.sizes):
                skipped = start >= size
                if self.streamed:
                    batch = reader.read_next_batch()
                elif not skipped:
                    batch = reader.get_batch(i)
                if not skipped:
                    yield from _after(batch.column(self.column), start)
                start = max(start - size, 0)


def _after(column: Any, start: int) -> Iterator[Any]:
    if start < len(column):
        yield column.slice(start)


def split(where: str) -> tuple[Path, str | None]:
    """Return the path and the column of `PATH` or `PATH:COLUMN`."""
    path, colon, column = where.rpartition(":")
    if not colon or Path(where).exists() or "/" in column:
        return Path(where), None
    return Path(path), column


def source(where: str) -> Source:
    """Open `PATH` or `PATH:COLUMN`.

    Raises:
        SourceError: The file is not there, of another kind, or has no such vectors.
    """
    path, column = split(where)
    if not path.is_file():
        raise SourceError(f"{path} is no file")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        if column is not None:
            raise SourceError(f"{where}: a .npy file has no columns")
        return Npy(path)
    if suffix in PARQUET:
        return Parquet(path, column)
    if suffix in ARROW:
        return Arrow(path, column)
    known = ", ".join((".npy", *PARQUET, *ARROW))
    raise SourceError(f"{path} has suffix {suffix!r}, must be one of {known}")
