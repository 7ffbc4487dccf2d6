"""The command `cosgrad score`."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from cosgrad.report.console import consoles, refused
from cosgrad.score import engines, job, parts
from cosgrad.score.rows import SourceError
from cosgrad.score.signals import Terminated, check, interruptible
from cosgrad.score.watch import EngineError

SHOWN = 10
KEPT = "the parts that are done are kept, run the same command to go on"


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    left: str
    right: str
    out: Path
    quantity: job.Quantity = "similarity"
    engine: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    strict: bool = False
    restart: bool = False
    overwrite: bool = False
    dtype: Literal["bfloat16"] | None = None
    wait: float | None = None


def run(options: Options) -> int:
    """Score the pairs, show the progress, and return the exit code."""
    console, complaints = consoles()
    try:
        with interruptible():
            return _run(options, console, complaints)
    except (SourceError, OSError, ImportError) as error:
        return refused(complaints, error)
    except EngineError as error:
        return refused(complaints, EngineError(f"{error}; {KEPT}"))
    except KeyboardInterrupt as interrupt:
        terminated = isinstance(interrupt, Terminated)
        complaints.print(f"{'terminated' if terminated else 'interrupted'}: {KEPT}")
        return 143 if terminated else 130


def _run(options: Options, console: Console, complaints: Console) -> int:
    if options.scheduler is not None and options.engine != "dask":
        raise SourceError(f"--scheduler {options.scheduler} belongs to --engine dask")
    if options.wait is not None and options.engine != "dask":
        raise SourceError(f"--wait {options.wait:g} belongs to --engine dask")
    work = job.plan(options.left, options.right, options.out, options.quantity, options.dtype)
    for path in (options.out, work.bad_rows_table):
        if path.exists() and not options.overwrite:
            raise SourceError(f"{path} exists: remove it, or give --overwrite")
    start = time.perf_counter()
    with parts.opened(work, restart=options.restart):
        missing = work.missing()
        if len(missing) < work.parts:
            complaints.print(f"going on: {work.parts - len(missing)} of {work.parts} parts are done")
        if options.strict and next(parts.bad_rows(work), None) is not None:
            return _refused(work, complaints)
        if not _computed(work, missing, options, complaints):
            return _refused(work, complaints)
        bad, zeros = _counted(work), parts.zero_vectors(work)
        parts.finish(work)
    seconds = time.perf_counter() - start
    console.print(
        f"{work.rows:,} pairs of length {work.length}: {work.quantity} in {np.dtype(work.dtype).name} "
        f"to {options.out}, {seconds:.1f} s",
        soft_wrap=True,
    )
    _tell(bad, complaints, f"their values are NaN; all of them: {work.bad_rows_table}")
    for side, (count, first) in zeros.items():
        complaints.print(
            f"{count:,} zero vectors on the {side} (rows {_shown(count, first)}), "
            f"their {work.quantity} is {job.OF_ZERO[work.quantity]}",
            soft_wrap=True,
        )
    return 0


def _computed(work: job.Job, missing: list[int], options: Options, complaints: Console) -> bool:
    """Compute the missing parts. Return False if a row is bad with --strict."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,} pairs"),
        TimeRemainingColumn(),
    )
    if options.engine == "dask":
        wait = engines.WAIT if options.wait is None else options.wait

        def say(sentence: str) -> None:
            complaints.print(sentence, soft_wrap=True)

        done = engines.on_dask(work, missing, options.scheduler, wait=wait, say=say)
    else:
        done = engines.here(work, missing)
    with Progress(*columns, console=complaints, transient=True) as progress:
        already = work.rows - sum(_rows(work, part) for part in missing)
        task = progress.add_task(work.quantity, total=work.rows, completed=already)
        with closing(done):  # close the cluster here, not when the generator is collected
            for part, bad in done:
                check()
                progress.advance(task, _rows(work, part))
                if options.strict and any(bad.values()):
                    return False
    return True


def _rows(work: job.Job, part: int) -> int:
    return min(work.part_rows, work.rows - part * work.part_rows)


def _refused(work: job.Job, complaints: Console) -> int:
    kept = f"the parts that are done are kept in {work.folder}"
    _tell(_counted(work), complaints, f"with --strict there is no output; {kept}")
    return 1


Counted = dict[tuple[str, str], tuple[int, list[int]]]


def _counted(work: job.Job) -> Counted:
    """Return the number of bad rows and the first row numbers, for each side and reason."""
    found: Counted = {}
    for bad in parts.bad_rows(work):
        for side, reasons in bad.items():
            for reason, rows in reasons.items():
                count, first = found.get((side, reason), (0, []))
                found[side, reason] = count + len(rows), (first + rows)[:SHOWN]
    return found


def _tell(bad: Counted, complaints: Console, consequence: str) -> None:
    if not bad:
        return
    complaints.print(Text.assemble(("bad rows", "bold red"), f"  {consequence}"), soft_wrap=True)
    for (side, reason), (count, first) in sorted(bad.items()):
        complaints.print(f"  {side}, {reason}: {count:,} (rows {_shown(count, first)})", soft_wrap=True)


def _shown(count: int, first: list[int]) -> str:
    return ", ".join(map(str, first)) + (", ..." if count > len(first) else "")
