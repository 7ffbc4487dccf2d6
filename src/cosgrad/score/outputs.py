"""The output file. It is written in the folder of the parts and moved to its path when it is complete."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.require import require
from cosgrad.score.failures import writing
from cosgrad.score.places import URL
from cosgrad.score.rows import SourceError
from cosgrad.score.sources import KNOWN, PARQUET

Values = np.ndarray[Any, Any]


def check(path: Path) -> None:
    """Raise an error if the output path cannot be written, or if its suffix is not supported."""
    if (scheme := URL.match(str(path))) and not path.parent.is_dir():
        raise SourceError(f"--out {path} is a URL ({scheme[0]}/...); only local files are written")
    suffix = path.suffix.lower()
    if suffix not in KNOWN:
        raise SourceError(f"--out {path} has suffix {suffix!r}, must be one of {', '.join(KNOWN)}")
    if path.is_dir():
        raise SourceError(f"--out {path} is a folder")
    if path.exists() and not path.is_file():
        raise SourceError(f"--out {path} is not a regular file")
    if not path.parent.is_dir():
        raise SourceError(f"--out {path}: there is no folder {path.parent}")
    if suffix != ".npy":
        require("pyarrow", "score", "15", user="cosgrad score")


@contextmanager
def becoming(path: Path, folder: Path) -> Iterator[Path]:
    """Yield a path in the folder, on the same disk. The file there is moved to `path` if the block succeeds.

    Errors of the operating system in the block are reported as errors of writing `path`, unless `reading`
    has already reported them as errors of reading.
    """
    beside = folder / f"{uuid.uuid4().hex}.unfinished"
    with writing(path):
        try:
            yield beside
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def write(
    path: Path, suffix: str, name: str, dtype: np.dtype[Any], rows: int, parts: Iterable[Values]
) -> None:
    """Write the values of all parts as one column of this name, in the format of the suffix.

    The bytes depend only on the values. So a resumed job writes the same file as an uninterrupted job.
    """
    if suffix.lower() == ".npy":
        _npy(path, dtype, rows, parts)
    else:
        writer = _parquet if suffix.lower() in PARQUET else _arrow
        writer(path, name, dtype, parts)


def _npy(path: Path, dtype: np.dtype[Any], rows: int, parts: Iterable[Values]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for values in parts:
            file.write(values.data)


def _schema(name: str, dtype: np.dtype[Any]) -> Any:
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.from_numpy_dtype(dtype), nullable=False)])


def _parquet(path: Path, name: str, dtype: np.dtype[Any], parts: Iterable[Values]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(name, dtype)
    with pq.ParquetWriter(path, schema) as writer:
        for values in parts:
            writer.write_batch(pa.record_batch([pa.array(values)], schema=schema), row_group_size=len(values))


def _arrow(path: Path, name: str, dtype: np.dtype[Any], parts: Iterable[Values]) -> None:
    import pyarrow as pa

    schema = _schema(name, dtype)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for values in parts:
            writer.write_batch(pa.record_batch([pa.array(values)], schema=schema))
