"""The report of `cosgrad verify` for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cosgrad.report.figures import ulps
from cosgrad.verify import example
from cosgrad.verify.findings import Row, Verdict
from cosgrad.verify.supervisor import Report
from cosgrad.verify.ulp import FORMATS

COLOURS: dict[Verdict, str] = {"pass": "green", "hazard": "yellow", "fail": "red", "skipped": "bright_black"}
ERRORS = "Worst error by dtype, in ulp beyond what cancels"
MARKS: dict[Verdict, str] = {"pass": "✓", "hazard": "!", "fail": "✗", "skipped": "·"}


def _plain(title: str = "") -> Table:
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="dim",
    )


def _vector(values: float | list[float]) -> str:
    if isinstance(values, float):
        return f"{values:.7g}"
    return "(" + ", ".join(f"{v:.6f}" for v in values) + ")"


def _point(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"


def worked_table(reports: Sequence[Report]) -> tuple[str, list[str], list[list[str]]]:
    """Return the caption, the head and the rows of the worked example.

    The columns show how much each frontend differs from finite differences of the definition.
    """
    frontends = [(r.subject.name, r.example) for r in reports if r.example is not None]
    true = example.by_differences()
    apart = [example.departures(w, true) for _, w in frontends]
    labels = ("S", "dS/dx", "dS/dy", "dS.(u, v)", "distance loss")
    rows = [
        [label, _vector(value), *(f"±{d[k]:.0e}" if d[k] else "exact" for d in apart)]
        for k, (label, value) in enumerate(zip(labels, true.as_dict().values(), strict=True))
    ]
    point = ", ".join(f"{name} = {_point(getattr(example, name.upper()))}" for name in "xyuv")
    pairs = [f"{_point(a)} {_point(b)}" for a, b in zip(example.LABELS, example.PREDICTIONS, strict=True)]
    where = f"at {point};\nthe distance loss of the rows {' and '.join(pairs)}"
    return where, ["", "by differences", *(name for name, _ in frontends)], rows


def worked(reports: Sequence[Report]) -> RenderableType:
    """Return the worked example as a table for the terminal."""
    where, head, rows = worked_table(reports)
    table = _plain()
    for k, heading in enumerate(head):
        table.add_column(heading, justify="right" if k > 1 else "left")
    for row in rows:
        table.add_row(*row)
    title = Text("Cosine similarity, its gradient and its total derivative", style="bold")
    return Group(title, *(Text(f"  {line}") for line in where.splitlines()), table)


def frontends(reports: Sequence[Report]) -> RenderableType:
    """Return a table with one line per check and one column per frontend.

    With up to three frontends, there is room for a column with the requirement of each check.
    """
    table = _plain("Checks, with the worst error in ulp")
    table.add_column("check", no_wrap=True)
    room = len(reports) <= 3
    if room:
        table.add_column("what it asks", style="dim")
    for r in reports:
        table.add_column(r.subject.name, no_wrap=True, min_width=8)
    rows = [{row.check: row for row in r.rows} for r in reports]
    names: dict[str, str] = {row.check: row.asks for r in reports for row in r.rows}
    for name, asks in names.items():
        short = [Text(asks, no_wrap=True, overflow="ellipsis")] if room else []
        table.add_row(name, *short, *(_cell(by_name.get(name)) for by_name in rows))
    skipped = any(row.verdict == "skipped" for r in reports for row in r.rows)
    legend = Text(
        f"  {MARKS['skipped']} skipped: the framework or this use of it has no such thing", style="dim"
    )
    parts: list[RenderableType] = [table, *([legend] if skipped else [])]
    parts += [_complaint(row) for r in reports for row in r.rows if row.verdict == "fail"]
    return Group(*parts)


def _cell(row: Row | None) -> Text:
    if row is None:
        return Text("")
    return Text.assemble((MARKS[row.verdict], COLOURS[row.verdict]), " ", (ulps(row.ulp), "dim"))


def _complaint(row: Row) -> RenderableType:
    head = Text.assemble(
        (f"{MARKS[row.verdict]} ", COLOURS[row.verdict]), (f"{row.subject}, {row.check}: ", "bold"), row.why
    )
    return Group(head, Padding(Text(row.where, style="dim"), (0, 0, 1, 2)))


def errors_table(reports: Sequence[Report]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the kernel's worst errors by dtype, over all measurements."""
    quantities = {"S": "0.501", "D": "0.501", "gradients": "0.51"}
    rows = []
    for r in reports:
        kernel = [row for row in r.rows if row.check != "closed forms"]
        for k, dtype in enumerate(FORMATS):
            seen = [
                [row.worst[q][dtype] for row in kernel if dtype in row.worst.get(q, {})] for q in quantities
            ]
            if any(seen):
                worst = (ulps(max(s)) if s else "·" for s in seen)
                rows.append(["" if k else r.subject.name, dtype, *worst])
    return ["", "dtype", *(f"{q} ≤ {bound}" for q, bound in quantities.items())], rows


def errors(reports: Sequence[Report]) -> RenderableType:
    """Return the worst errors as a table for the terminal."""
    head, rows = errors_table(reports)
    table = _plain(ERRORS)
    for k, heading in enumerate(head):
        table.add_column(heading, justify="right" if k > 1 else "left")
    for row in rows:
        table.add_row(*row)
    return table


def target(report: Report) -> RenderableType:
    """Return a table with one line per check and its result."""
    s = report.subject
    table = _plain()
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("ulp", justify="right", no_wrap=True)
    table.add_column("worst input; what is wrong", overflow="fold")
    for row in report.rows:
        colour = COLOURS[row.verdict]
        if row.verdict == "pass":
            said = Text(row.where, style="dim", no_wrap=True, overflow="ellipsis")
        else:
            said = Text(row.why, style="dim" if row.verdict == "skipped" else "")
            if row.where:
                said.append(f"\n{row.where}", style="dim")
        table.add_row(
            row.check,
            Text(f"{MARKS[row.verdict]} {row.verdict}", style=colour),
            Text(ulps(row.ulp), style="dim"),
            said,
        )
    return Group(
        Text.assemble(
            (s.target or "", "bold"), f"  a {s.quantity} of {s.framework} {s.signature}, seed {s.seed}"
        ),
        table,
    )


def counted(reports: Sequence[Report], strict: bool) -> tuple[bool, str]:
    """Return whether the result is a success, and the number of each verdict as text."""
    rows = [row for r in reports for row in r.rows]
    count = {v: sum(row.verdict == v for row in rows) for v in MARKS}
    good = not count["fail"] and not (strict and count["hazard"])
    words = {"pass": "passed", "hazard": "hazards", "fail": "failed", "skipped": "skipped"}
    return good, ", ".join(f"{n} {words[v] if n > 1 or v != 'hazard' else v}" for v, n in count.items() if n)


def verdict(reports: Sequence[Report], strict: bool) -> tuple[bool, RenderableType]:
    """Return whether the result is a success, and the last line of the output."""
    good, tally = counted(reports, strict)
    hazards = any(row.verdict == "hazard" for r in reports for row in r.rows)
    colour = "green" if good and not hazards else "yellow" if good else "red"
    text = Text.assemble(("success!" if good else "failure", f"bold {colour}"), (f"  {tally}", "dim"))
    return good, text


def as_json(reports: Sequence[Report], good: bool, version: str) -> dict[str, Any]:
    """Return the results for JSON, with every row."""
    return {
        "version": version,
        "success": good,
        "seed": reports[0].subject.seed,
        "rows": [row.as_dict() for r in reports for row in r.rows],
    }
