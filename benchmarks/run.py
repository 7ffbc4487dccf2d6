"""Time cosgrad and other libraries: `python benchmarks/run.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

import memory
from contest import Workload
from cosgrad.bench.timing import time_in_turn
from cosgrad.report.machine import BUSY
from registry import REGISTRY
from table import Line, environment, lines, render

NARROWEST = 150
"""The least width of the terminal in columns. In a narrower one the numbers of the table would be wrapped."""


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description="Times cosgrad and its rivals in turn, in one process. A ratio says how many times as "
        "fast cosgrad is: the median over the rounds."
    )
    parser.add_argument(
        "-k", "--select", metavar="REGEX", default="", help="only workloads whose name matches"
    )
    parser.add_argument("-r", "--rounds", type=int, default=11, help="rounds of each contest (default: 11)")
    parser.add_argument("--no-memory", action="store_true", help="leave out the peaks of memory")
    parser.add_argument("--json", metavar="PATH", type=Path, help="write every figure there too")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and stop")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}: at least one is needed")
    return chosen


def run(workload: Workload, rounds: int, with_memory: bool) -> list[Line]:
    """Run one contest: measure time, accuracy, and peak memory, which is measured in child processes."""
    contest = workload.prepare()
    everyone = contest.everyone()
    seconds = time_in_turn(everyone, rounds)
    accuracies = contest.accuracies()
    peaks = {name: memory.peak_of(workload.name, name) for name in everyone} if with_memory else {}
    return lines(workload, contest, seconds, peaks, accuracies)


def main() -> None:
    """Run the selected workloads, print the table, and write the JSON."""
    chosen = arguments()
    selected = [work for name, work in REGISTRY.items() if re.search(chosen.select, name)]
    if chosen.list or not selected:
        print(*REGISTRY, sep="\n")
        if not chosen.list:
            raise SystemExit(f"no workload matches {chosen.select!r}: these are all")
        return
    load = os.getloadavg()[0]
    found = contests(selected, chosen.rounds, not chosen.no_memory)
    console = Console()
    if console.width < NARROWEST:
        console = Console(width=NARROWEST)
    console.print(render(found))
    about = environment()
    console.print(
        f"{about['processor']}, {about['cpus']} cores, {about['isa']}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    )
    if load > BUSY:
        console.print(f"other work was running (load {load:.1f} at the start): time again on a quiet machine")
    missed = [line for line in found if line.verdict == "missed"]
    console.print(f"targets: {sum(line.verdict == 'met' for line in found)} met, {len(missed)} missed")
    if chosen.json:
        report = {
            "environment": about | {"load": load},
            "rounds": chosen.rounds,
            "lines": [line.as_json() for line in found],
        }
        chosen.json.write_text(json.dumps(report, indent=2) + "\n")


def contests(selected: Sequence[Workload], rounds: int, with_memory: bool) -> list[Line]:
    """Run every contest, and show the progress."""
    found: list[Line] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(selected))
        for workload in selected:
            progress.update(task, description=workload.title)
            found += run(workload, rounds, with_memory)
            progress.advance(task)
    return found


if __name__ == "__main__":
    main()
