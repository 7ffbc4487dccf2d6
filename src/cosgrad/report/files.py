"""Reports as files: refused before the work where they cannot be written, and whole or not there at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class UnwritableError(Exception):
    """A path that cannot be written, with the reason."""


def check(*paths: Path | None) -> None:
    """Refuse what cannot be written.

    Raises:
        UnwritableError: A path is a directory, or in none that one may write to.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise UnwritableError(f"cannot write {path}: it is a directory")
        try:
            with tempfile.TemporaryFile(dir=path.resolve().parent):
                pass
        except OSError as error:
            why = "no such directory" if isinstance(error, FileNotFoundError) else error.strerror
            raise UnwritableError(f"cannot write {path}: {why}") from None


def as_text(content: Mapping[str, Any]) -> str:
    """JSON that people can read too; figures that it does not know are an error."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write(*texts: tuple[Path | None, Callable[[], str]]) -> None:
    """Make every text that has a path, and write it there: all of it, or what was there stays.

    Raises:
        UnwritableError: One or more could not be written, and why; the others are.
    """
    failed = []
    for path, text in texts:
        if path is not None:
            try:
                _replace(path.resolve(), text())
            except OSError as error:
                failed.append(f"cannot write {path}: {error.strerror}")
    if failed:
        raise UnwritableError("; ".join(failed))


def _replace(target: Path, text: str) -> None:
    if target.exists() and not target.is_file():  # a pipe, a device
        target.write_text(text, encoding="utf-8")
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
