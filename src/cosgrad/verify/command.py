"""The command `cosgrad verify`: runs the checks, prints the results and returns the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from cosgrad.report import files
from cosgrad.report.console import consoles, refused
from cosgrad.report.machine import version
from cosgrad.verify import adapters, page, report
from cosgrad.verify.adapters.base import Quantity, Signature
from cosgrad.verify.subject import Subject, TargetError
from cosgrad.verify.supervisor import Report, supervise


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    target: str | None = None
    framework: str | None = None
    frameworks: str | None = None
    quantity: Quantity = "similarity"
    signature: Signature = "rows"
    strict: bool = False
    thorough: bool = False
    seed: int = 0
    timeout: float = 120.0
    json: Path | None = None
    html: Path | None = None


def run(options: Options) -> int:
    """Run the checks, print the results and return the exit code."""
    console, complaints = consoles()
    try:
        files.check(options.json, options.html)
        subjects = _subjects(options)
        reports = _supervised(subjects, options.timeout, complaints)
    except (TargetError, adapters.UnavailableError, files.UnwritableError) as error:
        return refused(complaints, error)
    except KeyboardInterrupt:
        complaints.print("interrupted")
        return 130
    good, last = report.verdict(reports, options.strict)
    if options.target is None:
        if any(r.example for r in reports):
            console.print(report.worked(reports))
        console.print(report.frontends(reports))
        console.print(report.errors(reports))
    else:
        console.print(report.target(reports[0]))
    console.print(last)
    rows = report.as_json(reports, good, version("cosgrad") or "not installed")
    try:
        files.write(
            (options.json, lambda: files.as_text(rows)),
            (options.html, lambda: page.render(reports, options.strict)),
        )
    except files.UnwritableError as error:
        return refused(complaints, error)
    return 0 if good else 1


def _subjects(o: Options) -> list[Subject]:
    if o.target is None:
        if o.framework is not None:
            raise TargetError(
                f"--framework {o.framework} belongs to a --target: choose frontends with --frameworks"
            )
        return [Subject(name, seed=o.seed, thorough=o.thorough) for name in _frontends(o.frameworks or "all")]
    if o.frameworks is not None:
        raise TargetError(
            f"--frameworks {o.frameworks} chooses this package's own frontends, and --target is none of them"
        )
    if ":" not in o.target:
        raise TargetError(f"--target {o.target} must be MODULE:FUNCTION")
    framework = o.framework or "torch"
    adapters.require(framework)
    return [Subject(framework, o.target, o.quantity, o.signature, o.seed, o.thorough)]


def _frontends(chosen: str) -> list[str]:
    if chosen == "all":
        return adapters.installed()
    names = list(dict.fromkeys(name.strip() for name in chosen.split(",")))
    for name in names:
        try:
            adapters.require(name)
        except adapters.UnavailableError as error:
            raise TargetError(f"--frameworks {chosen}: {error}") from error
    return names


def _supervised(subjects: Sequence[Subject], timeout: float, console: Console) -> list[Report]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[check]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: list[TaskID] = [progress.add_task(s.name, total=None, check="importing") for s in subjects]

        def update(reports: Sequence[Report]) -> None:
            for task, r in zip(tasks, reports, strict=True):
                if r.current != "start":
                    progress.update(task, completed=r.done, total=r.of, check=r.current)

        return supervise(subjects, timeout, update)
