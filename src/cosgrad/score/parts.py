"""The folder of a job's parts: it is locked for one process, read for the output, and then removed."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from cosgrad.score import outputs
from cosgrad.score.failures import reading, writing
from cosgrad.score.job import FIRST, BadRows, Job, ZeroVectors
from cosgrad.score.rows import SourceError

DESCRIPTION, LOCK = "job.json", "lock"
OURS = re.compile(r"job\.json|lock|[0-9a-f]{16}-\d+\.(npy|json)|[0-9a-f]{32}\.unfinished")


@contextmanager
def opened(job: Job, *, restart: bool) -> Iterator[None]:
    """Lock the job's folder for this process. Existing parts must be of this job, or `restart` removes them.

    Raises:
        SourceError: Another process has locked the folder, the parts are of another job, or the folder has
            files that are not parts.
    """
    folder = job.folder
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise SourceError(f"{folder} is in the way: parts are kept in a folder of that name")
    with writing(f"--out {job.out}, with its parts in {folder},"):
        folder.mkdir(exist_ok=True)
    with reading(folder):
        strangers = sorted(path.name for path in folder.iterdir() if not OURS.fullmatch(path.name))
    if strangers:
        raise SourceError(f"{folder}, where parts are kept, holds something else: {strangers[0]}")
    with _locked(job):
        try:
            if restart:
                with writing(folder):
                    _clear(folder)
            _describe(job)
            yield
        finally:
            if folder.exists() and not _any_part(folder):
                with suppress(OSError):  # a worker of a cluster may still write there
                    _remove(folder)


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    path = job.folder / LOCK
    with ExitStack() as stack:
        with writing(path):
            lock = stack.enter_context(path.open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = path.exists() and os.path.samestat(path.stat(), os.fstat(lock.fileno()))
            except BlockingIOError:
                ours = False
        if not ours:
            raise SourceError(f"another process is writing {job.out}")
        yield


def _describe(job: Job) -> None:
    """Write the description of the job, or check that the existing parts have the same description."""
    description = job.folder / DESCRIPTION
    if not description.exists() or not _any_part(job.folder):
        with outputs.becoming(description, job.folder) as beside:
            beside.write_text(job.description)
        return
    ours: dict[str, Any] = json.loads(job.description)
    try:
        with reading(description):
            text = description.read_text()
        theirs = dict(json.loads(text))
    except (ValueError, TypeError):
        theirs = {}
    differing = [key for key in ours if ours[key] != theirs.get(key)]
    if differing:
        raise SourceError(
            f"{job.folder} has parts of a job with other {', '.join(differing)}: "
            "finish that one, or give --restart to discard them"
        )


def _any_part(folder: Path) -> bool:
    """Return whether the folder has the values of a part, of this job or another one."""
    return any(OURS.fullmatch(path.name) for path in folder.glob("*-*.npy"))


def _remove(folder: Path) -> None:
    """Remove our files and the folder, in the process that holds the lock."""
    _clear(folder)
    (folder / LOCK).unlink()
    folder.rmdir()


def is_of(job: Job) -> bool:
    """Return whether the folder is the one that was opened for this job."""
    description = job.folder / DESCRIPTION
    return description.exists() and description.read_text() == job.description


def _clear(folder: Path) -> None:
    """Remove our files except the lock. The description is removed last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == DESCRIPTION):
        if OURS.fullmatch(path.name) and path.name != LOCK:
            path.unlink()


def _reports(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the bad rows and the zero vectors of every finished part."""
    for part in range(job.parts):
        path = job.bad_rows_of(part)
        with reading(path):
            text = path.read_text() if path.exists() else None
        if text is not None:
            try:
                yield dict(json.loads(text))
            except ValueError as error:
                raise _damaged(path, error) from None


def _values(job: Job) -> Iterator[outputs.Values]:
    """Yield the values of every part."""
    for part in range(job.parts):
        path = job.values_of(part)
        with reading(path):
            try:
                values = np.load(path)
            except (ValueError, EOFError) as error:
                raise _damaged(path, error) from None
        yield values


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(
        f"{path} cannot be read: {error}; remove it, and run the same command to compute it again"
    )


def bad_rows(job: Job) -> Iterator[BadRows]:
    """Yield the bad rows of every finished part that has any."""
    for report in _reports(job):
        if any((bad := report["bad"]).values()):
            yield bad


def zero_vectors(job: Job) -> ZeroVectors:
    """Return the number of zero vectors in the finished parts and the first row numbers, for each side."""
    found: ZeroVectors = {}
    for report in _reports(job):
        for side, (count, rows) in report["zeros"].items():
            before, first = found.get(side, (0, []))
            found[side] = before + count, (first + rows)[:FIRST]
    return {side: zeros for side, zeros in found.items() if zeros[0]}


def finish(job: Job) -> None:
    """Write the output and the list of bad rows from the parts, and remove the parts."""
    table, out = job.bad_rows_table, Path(job.out)
    if next(bad_rows(job), None) is None:
        with writing(table):
            table.unlink(missing_ok=True)
    else:
        with outputs.becoming(table, job.folder) as beside, beside.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("side", "row", "reason"))
            for bad in bad_rows(job):
                for side, reasons in bad.items():
                    writer.writerows((side, row, why) for why, rows in reasons.items() for row in rows)
    with outputs.becoming(out, job.folder) as beside:
        outputs.write(beside, out.suffix, job.quantity, np.dtype(job.dtype), job.rows, _values(job))
    with writing(job.folder):
        _remove(job.folder)
