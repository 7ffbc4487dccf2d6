"""The places of files, `PATH` or `PATH:COLUMN`, and the messages for places that are not regular files."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from cosgrad.score.rows import SourceError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib replaces two slashes by one
GLOB = re.compile(r"[*?\[]")
SPECIAL = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def split(where: str) -> tuple[Path, str | None]:
    """Return the path and the column of `PATH` or `PATH:COLUMN`."""
    if not _exists(where):
        for colon in re.finditer(":", where):
            if _exists(where[: colon.start()]):
                return Path(where[: colon.start()]), where[colon.end() :]
    return Path(where), None


def absolute(where: str) -> str:
    """Return the place with an absolute path, which is valid in every working folder and process.

    A symbolic link at the end keeps its name, because the suffix of that name determines the file format.
    """
    path, column = split(where)
    path = path.parent.resolve() / path.name
    return f"{path}" if column is None else f"{path}:{column}"


def checked(where: str) -> Path:
    """Return the path of a regular file.

    Raises:
        SourceError: The place is not a regular file. The message has the reason and the cure.
    """
    path, column = split(where)
    if not _exists(path):
        raise SourceError(_missing(where))
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(
            f"{path} is a folder; give one file: to score a folder of files, merge them into one file first, "
            "or run the command once for each file"
        )
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in SPECIAL if is_kind(status.st_mode)), "not a regular file")
        raise SourceError(
            f"{path} is {kind}, which is read only once; write the data to a regular file first"
        )
    if column == "":
        raise SourceError(f"{where} ends with a colon; write {path}:COLUMN, or {path} alone")
    return path


def _exists(path: str | Path) -> bool:
    return "\0" not in str(path) and Path(path).exists()


def _missing(where: str) -> str:
    """Return the message for a place without a file."""
    path = Path(where)
    if scheme := URL.match(where):
        return f"{where} is a URL ({scheme[0]}/...); only local files are read: download it first"
    if "\0" in where:
        return f"{where!r} has a null character, which no path can have"
    if path.is_symlink():
        return f"{where} is a symbolic link to {path.readlink()}, which does not exist or cannot be reached"
    if GLOB.search(where):
        return (
            f"{where} is a glob pattern, and no file has this name; give one local file: "
            "merge the files into one, or run the command once for each file"
        )
    if where.startswith("~"):
        return f"{where} does not exist; the shell replaces ~ only at the start of an unquoted word"
    first, colon, column = where.partition(":")
    also = f", and there is no file {first} with a column {column!r}" if colon else ""
    return f"{where} does not exist{also}"
