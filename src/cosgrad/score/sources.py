"""Vectors in files, read by rows: memory-mapped .npy, and Parquet and Arrow IPC in a stream."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.require import require
from cosgrad.score.rows import Rows, SourceError

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".ipc", ".feather")
READ_BYTES = 8 << 20  # what is decoded at a time


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
        except (ValueError, EOFError) as error:
            why = "" if "pickle" in str(error) else f": {error}"  # NumPy's advice would be to run the file
            raise SourceError(f"{path} is no .npy file of numbers{why}") from None
        if not isinstance(self.array, np.ndarray):
            raise SourceError(f"{path} is no .npy file but an archive of them")
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
    """A column of vectors in a file of chunks, read in a stream: a jump decodes a chunk anew."""

    def __init__(self, path: Path, column: str | None) -> None:
        require("pyarrow", "score", "15", user="cosgrad score")

        from cosgrad.score import columns

        self.path, self.columns = path, columns
        with self._told():
            schema, sizes = self._open()
        names = [field.name for field in schema if columns.is_vector(field.type)]
        if column is None and len(names) != 1:
            kinds = ", ".join(f"{field.name} of {field.type}" for field in schema)
            told = f"{path} has columns of vectors {names}: say which, as {path}:COLUMN"
            raise SourceError(told if names else f"{path} has no column of lists of numbers, it has {kinds}")
        self.column = names[0] if column is None else column
        if (alike := schema.names.count(self.column)) != 1:
            raise SourceError(f"{path} has {alike or 'no'} column {self.column!r}, it has {schema.names}")
        kind = columns.storage(schema.field(self.column).type)
        if not columns.is_vector(kind):
            raise SourceError(f"column {self.column!r} of {path} is of type {kind}, must be lists of numbers")
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        self.starts = np.cumsum([0, *sizes])
        self.rows = int(self.starts[-1])
        self.length = columns.fixed_length(kind)
        if self.length is None:
            with self._told():
                found = (columns.usual_length(piece) for piece in self._stream(0, 1024))
                self.length = next((n for n in found if n is not None), None)
        self._at = self.rows
        self._pieces: Iterator[Any] = iter(())
        self._rest: Any = None

    @contextmanager
    def _told(self, what: str = "") -> Iterator[None]:
        """Name the file in what Arrow has to say of it."""
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self.path} cannot be read{what}: {error}") from None

    @abstractmethod
    def _open(self) -> tuple[Any, list[int]]:
        """Open the file and return its schema, and the rows in each chunk."""

    @abstractmethod
    def _stream(self, chunk: int, rows: int) -> Iterator[Any]:
        """Yield the column from a chunk on, in pieces of at most so many rows."""

    def read(self, start: int, stop: int, length: int) -> Rows:
        """See the base class."""
        chunk = int(np.searchsorted(self.starts, start, "right")) - 1
        with self._told(f", rows {start} to {stop}"):
            if start < self._at or self.starts[chunk] > self._at:
                rows = max(READ_BYTES // (max(length, 1) * self.dtype.itemsize), 1)
                self._at, self._pieces, self._rest = int(self.starts[chunk]), self._stream(chunk, rows), None
            for _ in self._until(start):
                pass
            found = [self.columns.vectors(piece, length) for piece in self._until(stop)]
        values, reasons = zip(*found, strict=True)
        return np.concatenate(values), np.concatenate(reasons)

    def _until(self, stop: int) -> Iterator[Any]:
        """Yield the column from where reading is, up to a row."""
        while self._at < stop:
            piece = next(self._pieces) if self._rest is None else self._rest
            taken = piece.slice(0, stop - self._at)
            self._rest = piece.slice(len(taken)) if len(taken) < len(piece) else None
            self._at += len(taken)
            yield taken


# A column chunk is read as it is decoded, not at once; checksums are looked at where the file has them.
BUFFERED = {"buffer_size": 1 << 20, "pre_buffer": False, "page_checksum_verification": True}


class Parquet(Column):
    """A column of a Parquet file, in row groups."""

    def _open(self) -> tuple[Any, list[int]]:
        import pyarrow.parquet as pq

        self.file = pq.ParquetFile(self.path, **BUFFERED)
        groups = range(self.file.metadata.num_row_groups)
        return self.file.schema_arrow, [self.file.metadata.row_group(i).num_rows for i in groups]

    def _stream(self, chunk: int, rows: int) -> Iterator[Any]:
        groups = list(range(chunk, len(self.starts) - 1))
        for batch in self.file.iter_batches(rows, row_groups=groups, columns=[self.column]):
            yield batch.column(self.column)


class Arrow(Column):
    """A column of an Arrow IPC file or stream, in record batches, memory-mapped."""

    def _open(self) -> tuple[Any, list[int]]:
        import pyarrow as pa

        mapped = pa.memory_map(str(self.path))
        try:
            self.reader, self.streamed = pa.ipc.open_file(mapped), False
        except pa.ArrowInvalid:
            mapped.seek(0)
            self.streamed = True
            with pa.ipc.open_stream(mapped) as reader:
                return reader.schema, [batch.num_rows for batch in reader]
        batches = map(self.reader.get_batch, range(self.reader.num_record_batches))
        return self.reader.schema, [batch.num_rows for batch in batches]

    def _stream(self, chunk: int, rows: int) -> Iterator[Any]:
        import pyarrow as pa

        if self.streamed:
            batches = iter(pa.ipc.open_stream(pa.memory_map(str(self.path))))
        else:
            batches = map(self.reader.get_batch, range(chunk, self.reader.num_record_batches))
        for batch in islice(batches, chunk if self.streamed else 0, None):
            column = batch.column(self.column)
            for first in range(0, len(column), rows):
                yield column.slice(first, rows)


def split(where: str) -> tuple[Path, str | None]:
    """Return the path and the column of `PATH` or `PATH:COLUMN`."""
    if not Path(where).exists():
        for colon in re.finditer(":", where):
            if Path(where[: colon.start()]).is_file():
                return Path(where[: colon.start()]), where[colon.end() :]
    return Path(where), None


def absolute(where: str) -> str:
    """Return the same from the root, so that it means the same in every folder and process."""
    path, column = split(where)
    return f"{path.resolve()}" if column is None else f"{path.resolve()}:{column}"


def source(where: str) -> Source:
    """Open `PATH` or `PATH:COLUMN`.

    Raises:
        SourceError: The file is not there, of another kind, or has no such vectors.
    """
    path, column = split(where)
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
