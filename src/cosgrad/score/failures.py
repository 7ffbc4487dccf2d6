"""Errors of the operating system, converted to messages with the file and the operation that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cosgrad.score.rows import SourceError


@contextmanager
def reading(path: Path | str, where: str = "") -> Iterator[None]:
    """Convert errors of the operating system and of memory to errors of reading the file.

    Args:
        path: The file.
        where: The place in the file, for example ", rows 0 to 10".
    """
    with _told(f"{path} cannot be read{where}"):
        yield


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Convert errors of the operating system and of memory to errors of writing the file."""
    with _told(f"{path} cannot be written"):
        yield


@contextmanager
def _told(message: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise SourceError(f"{message}: not enough memory{f': {error}' if str(error) else ''}") from None
    except OSError as error:
        raise SourceError(f"{message}: {error.strerror or error}") from None
