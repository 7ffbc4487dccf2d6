"""The messages of an Arrow IPC file or stream, checked against the size of the file.

Only the headers of the messages are read. The format is described in
https://arrow.apache.org/docs/format/Columnar.html, section "Serialization and Interprocess Communication
(IPC)". The headers are FlatBuffers tables of `Message.fbs`.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from cosgrad.score.rows import SourceError

MARK = b"ARROW1"
HEAD, TAIL = 8, 10  # mark and two bytes of padding; length of the footer and mark
CONTINUATION = 0xFFFFFFFF
END, SCHEMA, DICTIONARY, RECORDS, UNKNOWN = 0, 1, 2, 3, -1
KINDS = (SCHEMA, DICTIONARY, RECORDS)
LONGEST = 1 << 28  # a greater number is not the length of a header, but other data
PADDING = 64  # the greatest alignment of writers
AGAIN = "write or copy it again"


@dataclass(frozen=True)
class Layout:
    """The contents of a file.

    Attributes:
        streamed: Whether it is a stream, which has no footer.
        sizes: The number of rows of each record batch.
        compressed: Whether a record batch is compressed.
    """

    streamed: bool
    sizes: list[int]
    compressed: bool


def layout(path: Path) -> Layout:
    """Return the layout of a file that holds one Arrow IPC file or stream and nothing else.

    Raises:
        SourceError: The size of the file does not match its messages, the end mark is missing, or the file
            has other contents.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        told = f"{path} cannot be read: it has {len(data):,} bytes"
        if data[: len(MARK)] == MARK:
            return _file(data, told)
        if data[-len(MARK) :] == MARK:
            raise SourceError(f"{told} and ends as an Arrow file, but does not begin as one; {AGAIN}")
        if data[:4] == b"FEA1":
            raise SourceError(
                f"{told} in the first version of Feather; write it again with pyarrow.feather.write_feather"
            )
        return _stream(data, told)


def _file(data: mmap.mmap, told: str) -> Layout:
    size = len(data)
    complete = size >= HEAD + TAIL and data[-len(MARK) :] == MARK
    footer = size - TAIL - int.from_bytes(data[-TAIL : -len(MARK)], "little") if complete else size
    records, end, marked = _messages(data, HEAD, footer if HEAD <= footer <= size else size, told)
    if not complete:
        mark = data.find(MARK, end) if marked else -1
        if mark < 0:
            raise SourceError(f"{told} and no footer behind byte {end:,}: it was cut off; {AGAIN}")
        whole = mark + len(MARK)
        raise SourceError(
            f"{told}, but the Arrow file in it ends at byte {whole:,}: {size - whole:,} bytes follow; {AGAIN}"
        )
    if not end <= footer <= end + PADDING:
        raise SourceError(
            f"{told}, but its messages end at byte {end:,} and its footer begins at byte {footer:,}, as in "
            "files that were joined; write one file, for instance with pyarrow.concat_tables"
        )
    return _layout(False, records)


def _stream(data: mmap.mmap, told: str) -> Layout:
    records, end, marked = _messages(data, 0, len(data), told)
    if not marked:
        raise SourceError(
            f"{told} of an Arrow stream without an end mark, so batches may be missing; write it again, "
            "and close the writer"
        )
    if (rest := len(data) - end) > 0:
        following = _message(data, end)
        second = "a second stream" if following and following.kind == SCHEMA else f"{rest:,} bytes"
        raise SourceError(
            f"{told}, but the Arrow stream in it ends at byte {end:,}: {second} follows; "
            "write all batches in one stream"
        )
    return _layout(True, records)


def _layout(streamed: bool, records: list[Message]) -> Layout:
    return Layout(streamed, [batch.rows for batch in records], any(batch.compressed for batch in records))


def _messages(data: mmap.mmap, start: int, stop: int, told: str) -> tuple[list[Message], int, bool]:
    """Return the record batches, the offset of the end of the messages, and whether there is an end mark."""
    records: list[Message] = []
    at = start
    while at < stop:
        message = _message(data, at)
        if at == start and (message is None or message.kind != SCHEMA):
            raise SourceError(f"{told} and is neither an Arrow IPC file nor a stream; {AGAIN}")
        if message is None:
            raise SourceError(f"{told}, but no message begins at byte {at:,}; {AGAIN}")
        if message.kind == SCHEMA and at > start:
            raise SourceError(f"{told}, but a second Arrow stream begins at byte {at:,}; write one stream")
        if message.end > stop:
            raise SourceError(f"{told}, but the message at byte {at:,} ends at byte {message.end:,}; {AGAIN}")
        if message.kind == END:
            return records, message.end, True
        if message.kind == RECORDS:
            records.append(message)
        at = message.end
    return records, at, False


@dataclass(frozen=True)
class Message:
    """The header of a message.

    Attributes:
        kind: Arrow's number of the kind.
        end: The offset of the end of its body.
        rows: The number of rows of a record batch, otherwise 0.
        compressed: Whether the record batch is compressed.
    """

    kind: int
    end: int
    rows: int = 0
    compressed: bool = False


def _message(data: mmap.mmap, at: int) -> Message | None:
    """Return the message that begins at this offset, or None."""
    head = at + 4
    word = int.from_bytes(data[at:head], "little")
    if word == CONTINUATION:  # written since Arrow 0.15
        head += 4
        word = int.from_bytes(data[head - 4 : head], "little")
    if head > len(data):
        return Message(UNKNOWN, head)
    if word == 0:
        return Message(END, head)
    if word > LONGEST:
        return None
    if head + word > len(data):
        return Message(SCHEMA if at in (0, HEAD) else UNKNOWN, head + word)
    try:
        kind, length, rows, compressed = _fields(data[head : head + word])
    except struct.error:
        return None
    if kind not in KINDS or min(rows, length) < 0:
        return None
    return Message(kind, head + word + length, rows, compressed)


def _fields(table: bytes) -> tuple[int, int, int, bool]:
    """Return the kind of a message, the size of its body, its number of rows, and whether it is compressed.

    A FlatBuffers table begins with the distance to its vtable. The vtable has the offset of each field, or 0.
    """

    def place(start: int, field: int) -> int:
        vtable = start - struct.unpack_from("<i", table, start)[0]
        entry = 4 + 2 * field
        if vtable < 0 or entry >= struct.unpack_from("<H", table, vtable)[0]:
            return 0
        offset = int(struct.unpack_from("<H", table, vtable + entry)[0])
        return start + offset if offset else 0

    def number(form: str, start: int, field: int) -> int:
        at = place(start, field)
        return int(struct.unpack_from(form, table, at)[0]) if at else 0

    (message,) = struct.unpack_from("<I", table)
    kind, length = number("<B", message, 1), number("<q", message, 3)
    header = place(message, 2)
    if kind != RECORDS or not header:
        return kind, length, 0, False
    records = header + struct.unpack_from("<I", table, header)[0]
    return kind, length, number("<q", records, 0), place(records, 3) != 0
