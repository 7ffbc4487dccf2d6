"""The command `cosgrad bench`: measures, prints the results and returns the exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cosgrad.bench import page
from cosgrad.bench.entries import Entry, Protocol
from cosgrad.bench.measure import measure, steps
from cosgrad.bench.rivals import LIBRARIES, Library
from cosgrad.bench.summary import by_size, findings, troubles, worst_errors
from cosgrad.report import files
from cosgrad.report.console import consoles, refused
from cosgrad.report.figures import duration, size, times
from cosgrad.report.machine import BUSY, machine, version

SCHEMA = 1
"""The version of the JSON format. It increases if a name changes its meaning."""


class OptionsError(Exception):
    """The options cannot be carried out."""


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    rivals: str | None = None
    quick: bool = False
    seed: int = 0
    json: Path | None = None
    html: Path | None = None


def run(options: Options) -> int:
    """Measure, print the results and return the exit code."""
    console, complaints = consoles()
    try:
        libraries = chosen(options.rivals)
        files.check(options.json, options.html)
        protocol = Protocol.quick(options.seed) if options.quick else replace(Protocol(), seed=options.seed)
        load = os.getloadavg()[0]
        entries = _measured(protocol, libraries, complaints)
        if not any(entry.status == "measured" for entry in entries):
            raise OptionsError("; ".join(troubles(entries)))
    except (OptionsError, files.UnwritableError) as error:
        return refused(complaints, error)
    except KeyboardInterrupt:
        complaints.print("interrupted")
        return 130
    about = {"cosgrad": version("cosgrad") or "not installed"} | machine() | {"load": round(load, 2)}
    notes = [f"Other work was running (load {load:.1f} at the start): time again on a quiet machine."]
    notes = notes if load > BUSY else []
    show(console, entries, protocol, about, notes)
    try:
        files.write(
            (options.json, lambda: files.as_text(as_json(entries, protocol, about))),
            (options.html, lambda: page.render(entries, protocol, about, notes)),
        )
    except files.UnwritableError as error:
        return refused(complaints, error)
    return 0 if any(entry.ours and entry.status == "measured" for entry in entries) else 1


def chosen(names: str | None) -> list[Library]:
    """Return the named libraries and cosgrad's frontends for them. By default, return all libraries.

    Raises:
        OptionsError: A name is unknown.

    Example:
        >>> [library.name for library in chosen("optax")]
        ['cosgrad.jax', 'optax']
    """
    if names is None:
        return list(LIBRARIES.values())
    wanted = {name.strip() for name in names.split(",")}
    if unknown := wanted - set(LIBRARIES):
        raise OptionsError(
            f"--rivals {names}: unknown {', '.join(sorted(unknown))}: bench knows {', '.join(LIBRARIES)}"
        )
    frontends = {LIBRARIES[name].frontend for name in wanted}
    return [
        each
        for each in LIBRARIES.values()
        if each.name in wanted or (each.ours and each.frontend in frontends)
    ]


def _measured(protocol: Protocol, libraries: Sequence[Library], console: Console) -> list[Entry]:
    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("importing", total=steps(protocol, libraries))

        def tell(step: str) -> None:
            progress.update(task, description=step, advance=1)

        return measure(protocol, libraries, tell)


def show(
    console: Console,
    entries: Sequence[Entry],
    protocol: Protocol,
    about: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    """Print the results to the terminal."""
    console.print(_table("Largest error, in ulp of float32", *worst_errors(entries, protocol), words=True))
    title = "Time; of the others, how many times as fast cosgrad is in the same framework"
    console.print(
        _table(title, *by_size(entries, lambda e, f: duration(f.seconds) if e.ours else times(f.ratio)))
    )
    console.print(
        _table(
            "Peak memory beside the inputs, MB",
            *by_size(entries, lambda _, f: size(f.peak_bytes).removesuffix(" MB")),
        )
    )
    for word, said in findings(entries, protocol):
        console.print(Text.assemble((f"{word}: ", "bold"), said))
    for said in troubles(entries):
        console.print(Text.assemble(("not measured: ", "yellow"), said))
    console.print(
        f"{about['processor']}, {about['cpus']} cores, {about['isa']}; "
        + ", ".join(f"{e.name} {e.version}" for e in entries if e.version and not e.ours),
        style="dim",
    )
    for note in notes:
        console.print(note, style="yellow")


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
        padding=(0, int(words), 0, 0),
    )
    for k, heading in enumerate(head):
        number = bool(k and not words)
        table.add_column(
            heading.replace(" ", "\n", 1) if number else heading,
            justify="right" if number else "left",
            no_wrap=not words,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    return table


def as_json(entries: Sequence[Entry], protocol: Protocol, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return all results for JSON."""
    return {
        "schema": SCHEMA,
        "machine": dict(about),
        "protocol": asdict(protocol),
        "findings": dict(findings(entries, protocol)),
        "libraries": [entry.as_dict() for entry in entries],
    }
