"""Reading of rows of vectors from .npy, Parquet and Arrow IPC files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.require import require
from cosgrad.score import arrow_file, npy_file, parquet_file
from cosgrad.score.failures import reading
from cosgrad.score.mapped import Mapped, npy_rows
from cosgrad.score.places import checked, split
from cosgrad.score.rows import Rows, SourceError

PARQUET, ARROW = (".parquet", ".pq"), (".arrow", ".ipc", ".feather")
KNOWN = (".npy", *PARQUET, *ARROW)
READ_BYTES = 8 << 20  # bytes that are decoded at a time
LENGTH_ROWS = 1024  # rows that are decoded at a time to read their lengths


class Source(ABC):
    """Rows of vectors.

    Attributes:
        rows: The number of rows.
        length: The length of every vector, or None if it may differ between rows.
        dtype: The dtype of the elements that `read` returns.
        raw: Whether the elements in the file have the unnamed two-byte dtype, which needs `--dtype`.
    """

    rows: int
    length: int | None
    dtype: np.dtype[Any]
    raw = False

    @abstractmethod
    def lengths(self) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        """Yield the length of every vector, in arrays of any size. The length of a null is -1."""

    @abstractmethod
    def read(self, start: int, stop: int, length: int) -> Rows:
        """Return the rows [start, stop) as an array (n, length), and their reason codes (0 for good)."""


class Npy(Source):
    """A two-dimensional array in a .npy file."""

    def __init__(self, path: Path, raw: str | None) -> None:
        self.path = path
        with reading(path):
            self.header = npy_file.header(path, raw)
        self.rows, self.length = self.header.shape
        self.raw = self.header.dtype == npy_file.BFLOAT16
        self.dtype = np.dtype(np.float32) if self.raw else self.header.dtype

    def lengths(self) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        """See the base class."""
        yield np.full(self.rows, self.length)

    def read(self, start: int, stop: int, length: int) -> Rows:
        """See the base class."""
        assert length == self.length
        with reading(self.path, f", rows {start} to {stop}"):
            rows = npy_rows(self.path, self.header, start, stop)
            if self.raw:  # a bfloat16 is the upper half of a float32
                rows = (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return rows, np.zeros(stop - start, np.int8)


class Column(Source):
    """A column of vectors in a file of chunks, read as a stream. A jump decodes its chunk from the start."""

    def __init__(self, path: Path, column: str | None) -> None:
        require("pyarrow", "score", "15", user="cosgrad score")

        from cosgrad.score import columns

        self.path, self.columns = path, columns
        with self._told():
            schema, sizes = self._open()
        kinds = {field.name: field.type for field in schema}
        names = [field.name for field in schema if columns.is_vector(field.type)]
        if column is None and len(names) != 1:
            if names:
                raise SourceError(f"{path} has columns of vectors {names}: say which, as {path}:COLUMN")
            found = columns.listed(schema)
            raise SourceError(
                f"{path} has no column of lists of numbers, it has {found}; {columns.SUPPORTED}"
            )
        self.column = names[0] if column is None else column
        if self.column not in kinds:
            nested = ", and columns inside others are not read" if self.column.split(".")[0] in kinds else ""
            raise SourceError(f"{path} has no column {self.column!r}{nested}; it has {schema.names}")
        if (alike := schema.names.count(self.column)) > 1:
            raise SourceError(f"{path} has {alike} columns named {self.column!r}; rename all but one of them")
        self.index = schema.get_field_index(self.column)
        kind = columns.storage(kinds[self.column])
        if not columns.is_vector(kind):
            found = columns.refusal(f"column {self.column!r} of {path} is of type {kind}", kind)
            raise SourceError(f"{found}; {columns.SUPPORTED}")
        self.dtype = np.dtype(kind.value_type.to_pandas_dtype())
        self.starts = np.cumsum([0, *sizes])
        self.rows = int(self.starts[-1])
        self.length = columns.fixed_length(kind)
        self._at = self.rows
        self._pieces: Iterator[Any] = iter(())
        self._rest: Any = None

    @contextmanager
    def _told(self, where: str = "") -> Iterator[None]:
        """Add the file name to errors of reading."""
        import pyarrow as pa

        try:
            with reading(self.path, where):
                yield
        except pa.ArrowException as error:
            raise SourceError(f"{self.path} cannot be read{where}: {error}") from None

    def lengths(self) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        """See the base class."""
        with self._told():
            for piece in self._stream(0, LENGTH_ROWS):
                yield self.columns.lengths(piece)

    @abstractmethod
    def _open(self) -> tuple[Any, list[int]]:
        """Open the file. Return its schema and the number of rows in each chunk."""

    @abstractmethod
    def _stream(self, chunk: int, rows: int) -> Iterator[Any]:
        """Yield the column from a chunk on, in pieces of at most `rows` rows."""

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
        """Yield the column from the current position up to a row."""
        while self._at < stop:
            piece = next(self._pieces) if self._rest is None else self._rest
            taken = piece.slice(0, stop - self._at)
            self._rest = piece.slice(len(taken)) if len(taken) < len(piece) else None
            self._at += len(taken)
            yield taken


# A column chunk is read in small pieces during decoding, not at once. Checksums are verified if present.
BUFFERED = {"buffer_size": 1 << 20, "pre_buffer": False, "page_checksum_verification": True}


class Parquet(Column):
    """A column of a Parquet file, in row groups."""

    def _open(self) -> tuple[Any, list[int]]:
        import pyarrow.parquet as pq

        parquet_file.check_marks(self.path)
        self.file = pq.ParquetFile(self.path, **BUFFERED)
        parquet_file.check_extent(self.path, self.file.metadata)
        groups = range(self.file.metadata.num_row_groups)
        return self.file.schema_arrow, [self.file.metadata.row_group(i).num_rows for i in groups]

    def _stream(self, chunk: int, rows: int) -> Iterator[Any]:
        groups = list(range(chunk, len(self.starts) - 1))
        for batch in self.file.iter_batches(rows, row_groups=groups, columns=[self.column]):
            yield batch.column(self.column)


class Arrow(Column):
    """A column of an Arrow IPC file or stream, in record batches, memory-mapped while rows are read.

    No other column is decoded. A compressed column is decoded one record batch at a time.
    """

    def _open(self) -> tuple[Any, list[int]]:
        import pyarrow as pa

        self.layout = arrow_file.layout(self.path)
        self.mapped = Mapped(self.path)
        with self._reader(pa.ipc.IpcReadOptions()) as reader:
            return reader.schema, self.layout.sizes

    def _reader(self, options: Any) -> Any:
        import pyarrow as pa

        opened = pa.ipc.open_stream if self.layout.streamed else pa.ipc.open_file
        return opened(self.mapped.buffer, options=options)

    def lengths(self) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        """See the base class."""
        for found in super().lengths():
            self.mapped.drop()
            yield found

    def read(self, start: int, stop: int, length: int) -> Rows:
        """See the base class."""
        try:
            return super().read(start, stop, length)
        finally:
            self.mapped.drop()

    def _stream(self, chunk: int, rows: int) -> Iterator[Any]:
        import pyarrow as pa

        # If columns are selected, pyarrow copies them. Without compression and selection it copies nothing.
        selected = [self.index] if self.layout.compressed else []
        with self._reader(pa.ipc.IpcReadOptions(included_fields=selected)) as reader:
            batches: Iterator[Any] = iter(reader) if self.layout.streamed else _batches(reader, chunk)
            for batch in islice(batches, chunk if self.layout.streamed else 0, None):
                column = batch.column(0 if selected else self.index)
                for first in range(0, len(column), rows):
                    yield column.slice(first, rows)


def _batches(reader: Any, first: int) -> Iterator[Any]:
    return map(reader.get_batch, range(first, reader.num_record_batches))


def source(where: str, raw: str | None = None) -> Source:
    """Open `PATH` or `PATH:COLUMN`.

    Args:
        where: The place.
        raw: "bfloat16" if elements of the unnamed two-byte dtype, which NumPy writes for bfloat16, are
            bfloat16.

    Raises:
        SourceError: The file does not exist, is not supported, or does not have the vectors.
    """
    path = checked(where)
    column = split(where)[1]
    suffix = path.suffix.lower()
    if suffix not in KNOWN:
        raise SourceError(f"{path} has suffix {suffix!r}, must be one of {', '.join(KNOWN)}")
    if not path.stat().st_size:
        raise SourceError(f"{path} is empty (0 bytes); write it again")
    if suffix == ".npy":
        if column is not None:
            raise SourceError(f"{where}: a .npy file has no columns")
        return Npy(path, raw)
    return Parquet(path, column) if suffix in PARQUET else Arrow(path, column)
