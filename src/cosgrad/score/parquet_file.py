"""The size of a Parquet file, checked against its marks and its metadata."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from cosgrad.score.rows import SourceError

MARK = b"PAR1"
TAIL = 8  # the length of the footer in four bytes, and the mark
SEARCHED = 1 << 24  # bytes in which a misplaced mark is searched


def check_marks(path: Path) -> None:
    """Raise an error if a file does not begin and end with the mark of Parquet.

    Raises:
        SourceError: The file was cut off, or other bytes precede or follow the Parquet file in it.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        size = len(data)
        begins, ends = data[:4] == MARK, data[-4:] == MARK and size >= 4 + TAIL
        if begins and ends:
            return
        told = f"{path} cannot be read: it has {size:,} bytes"
        if begins:
            end = data.rfind(MARK, max(size - SEARCHED, 4)) + len(MARK)
            footer = int.from_bytes(data[end - TAIL : end - 4], "little") if end >= 4 + TAIL else 0
            if 0 < footer <= end - 4 - TAIL:
                raise SourceError(
                    f"{told}, but the Parquet file in it ends at byte {end:,}: {size - end:,} bytes follow; "
                    "write or copy it again"
                )
            raise SourceError(f"{told} and no end mark {MARK!r}: it was cut off; write or copy it again")
        if ends:
            start = data.find(MARK, 0, min(size - 4, SEARCHED))
            where = f"begins at byte {start:,}" if start > 0 else "does not begin at byte 0"
            raise SourceError(f"{told}, but the Parquet file in it {where}; write or copy it again")
        raise SourceError(f"{told} and neither begins nor ends with {MARK!r}: it is not a Parquet file")


def check_extent(path: Path, metadata: Any) -> None:
    """Raise an error if a file consists of two Parquet files.

    The footer of the second file would be applied to the bytes of the first file.

    Args:
        path: The file.
        metadata: A `pyarrow.parquet.FileMetaData`.

    Raises:
        SourceError: Another Parquet file precedes the one that the footer describes.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        footer = len(data) - TAIL - int.from_bytes(data[-TAIL:-4], "little")
        end = 4
        if metadata.num_row_groups:
            last = metadata.row_group(metadata.num_row_groups - 1)
            end = max(_end(last.column(index)) for index in range(last.num_columns))
        # The bytes between the columns and the footer are indexes and filters. If another file precedes this
        # one, they are at least as many as that file has, so its end is among the first bytes.
        seam = data.find(MARK * 2, 0, max(footer - end, 0) + len(MARK))
        if seam >= 0:
            raise SourceError(
                f"{path} cannot be read: it has {len(data):,} bytes, but the first Parquet file in it ends "
                f"at byte {seam + len(MARK):,}, and another one follows; write one file, for instance with "
                "pyarrow.concat_tables"
            )


def _end(chunk: Any) -> int:
    """Return the offset of the end of a column chunk."""
    starts = [chunk.data_page_offset]
    if chunk.dictionary_page_offset:
        starts.append(chunk.dictionary_page_offset)
    return int(min(starts) + chunk.total_compressed_size)
