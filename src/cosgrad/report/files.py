"""Report files: checked before the work, and written completely or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class UnwritableError(Exception):
    """A path cannot be written; the message has the reason."""


def check(*paths: Path | None) -> None:
    """Check that all paths can be written.

    Raises:
        UnwritableError: A path is a directory, or its directory is missing or not writable.
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
    """Return indented JSON. NaN and infinity are errors, because JSON does not have them."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write(*texts: tuple[Path | None, Callable[[], str]]) -> None:
    """Render and write each report that has a path. A file that cannot be written stays as it was.

    Raises:
        UnwritableError: At least one report could not be written; the others were.
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
