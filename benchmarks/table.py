"""The results of the contests: one line per competitor, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich import box
from rich.table import Table
from rich.text import Text

from contest import OURS, Contest, Workload
from cosgrad.bench.accuracy import Accuracy
from cosgrad.report.figures import duration, size
from cosgrad.report.machine import machine, versions


@dataclass(frozen=True)
class Line:
    """The result of cosgrad and one competitor at one workload.

    The seconds are medians over the rounds. The ratio is the median of the rounds' ratios. `ratio_low` and
    `ratio_high` are the least and the largest of them.
    """

    workload: str
    title: str
    rival: str
    ours_seconds: float | None = None
    rival_seconds: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    target: float | None = None
    ours_peak_bytes: int | None = None
    rival_peak_bytes: int | None = None
    ours_accuracy: Accuracy | None = None
    rival_accuracy: Accuracy | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Return "met" or "missed", or an empty string without a target or a measurement."""
        if self.ratio is None or self.target is None:
            return ""
        return "met" if self.ratio >= self.target else "missed"

    def as_json(self) -> dict[str, Any]:
        """Return all fields and the verdict."""
        return asdict(self) | {"verdict": self.verdict}


def lines(
    workload: Workload,
    contest: Contest,
    seconds: Mapping[str, Sequence[float]],
    peaks: Mapping[str, int | None],
    accuracies: Mapping[str, Accuracy],
) -> list[Line]:
    """Return one line per competitor. The lines of missing competitors are last."""
    found = []
    for name, rival in contest.rivals.items():
        ratios = [theirs / ours for ours, theirs in zip(seconds[OURS], seconds[name], strict=True)]
        line = Line(
            workload.name,
            workload.title,
            name,
            statistics.median(seconds[OURS]),
            statistics.median(seconds[name]),
            statistics.median(ratios),
            min(ratios),
            max(ratios),
            rival.target,
            peaks.get(OURS),
            peaks.get(name),
            accuracies.get(OURS),
            accuracies.get(name),
            rival.how,
        )
        found.append(line)
    return found + [
        Line(workload.name, workload.title, name, note=f"not measured: {why}")
        for name, why in contest.missing.items()
    ]


def environment() -> dict[str, Any]:
    """Return the machine and the versions on which the numbers depend."""
    packages = (
        "cosgrad",
        "numpy",
        "torch",
        "jax",
        "optax",
        "tensorflow",
        "tensorflow_cpu",
        "numkong",
        "simsimd",
    )
    return machine() | {"torch_threads": torch.get_num_threads(), "versions": versions(packages)}


def render(found: Sequence[Line]) -> Table:
    """Return the table that is printed."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for heading in ("work", "rival"):
        table.add_column(heading, overflow="fold")
    for heading in ("cosgrad", "rival", "ratio", "target", "", "peak memory", "cosgrad errs", "rival errs"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = ""
    for line in found:
        title = line.title if line.workload != previous else ""
        if title and previous:
            table.add_section()
        previous = line.workload
        rival = f"{line.rival} ({line.note})" if line.ratio and line.note else line.rival
        table.add_row(title, rival, *cells(line))
    return table


def cells(line: Line) -> tuple[str | Text, ...]:
    """Return the numbers of a line as cells of the table."""
    if line.ratio is None:
        return "", "", "", "", line.note, "", "", ""
    return (
        duration(line.ours_seconds),
        duration(line.rival_seconds),
        f"{line.ratio:.2f}x",
        f"{line.target:g}x" if line.target is not None else "",
        Text(line.verdict, style={"met": "green", "missed": "bold red"}.get(line.verdict, "")),
        f"{size(line.ours_peak_bytes)} / {size(line.rival_peak_bytes)}",
        str(line.ours_accuracy or ""),
        str(line.rival_accuracy or ""),
    )
