"""Reading of rows of uncompressed files, without resident memory for other rows.

A page of a mapped file counts as resident memory of the process until it is dropped. A process that maps a
file and keeps the pages grows to the size of the file. Dask then pauses the worker.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.score.npy_file import Header

Array = np.ndarray[Any, Any]


def npy_rows(path: Path, header: Header, start: int, stop: int) -> Array:
    """Return the rows [start, stop) of a .npy file with this header.

    The rows are read, not mapped. So an error of the disk, or a file that has become shorter, raises an
    exception. With a mapped file it would kill the process.

    Raises:
        OSError: The file cannot be read, or ends before the last of the rows.
    """
    (rows, length), dtype = header.shape, header.dtype
    if header.fortran:
        array = np.empty((length, stop - start), dtype)
        places = [header.offset + (column * rows + start) * dtype.itemsize for column in range(length)]
    else:
        array = np.empty((1, (stop - start) * length), dtype)
        places = [header.offset + start * length * dtype.itemsize]
    with path.open("rb", buffering=0) as file:
        for place, run in zip(places, array.view(np.uint8), strict=True):
            file.seek(place)
            _fill(file, memoryview(run))
    return array.T if header.fortran else array.reshape(stop - start, length)


def _fill(file: Any, rest: memoryview) -> None:
    while rest:
        count = file.readinto(rest)
        if not count:
            size = os.fstat(file.fileno()).st_size
            raise OSError(f"the file ends at byte {size:,}, and {len(rest):,} bytes of the rows are missing")
        rest = rest[count:]


class Mapped:
    """A mapped file whose pages can be dropped.

    Attributes:
        buffer: The whole file, for pyarrow. Arrays that point into it stay valid when pages are dropped,
            because the next access reads the page again.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else None
        self.buffer = pa.py_buffer(b"" if self._map is None else self._map)

    def drop(self) -> None:
        """Drop all pages, so that they no longer count as memory of this process."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
