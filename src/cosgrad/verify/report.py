"""What the terminal shows, and the same as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cosgrad.verify import example
from cosgrad.verify.findings import Row, Verdict
from cosgrad.verify.supervisor import Report
from cosgrad.verify.ulp import FORMATS

COLOURS: dict[Verdict, str] = {"pass": "green", "hazard": "yellow", "fail": "red", "skipped": "bright_black"}
MARKS: dict[Verdict, str] = {"pass": "✓", "hazard": "!", "fail": "✗", "skipped": "·"}


def ulps(ulp: float | None) -> str:
    """Few digits, but never a rounded-up 0.501."""
    if ulp is None:
        return ""
    if ulp == float("inf"):
        return "inf"
    if ulp < 10:
        return f"{ulp:.4f}"
    return f"{ulp:.0f}" if ulp < 1e5 else f"{ulp:.0e}".replace("e+", "e")


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


def worked(reports: Sequence[Report]) -> RenderableType:
    """The derivation at a readable point, and how far each face is from differences of the definition."""
    faces = [(r.subject.name, r.example) for r in reports if r.example is not None]
    true = example.by_differences()
    table = _plain()
    table.add_column("")
    table.add_column("by differences")
    for name, _ in faces:
        table.add_column(name, justify="right")
    apart = [example.departures(w, true) for _, w in faces]
    labels = ("S", "dS/dx", "dS/dy", "dS.(u, v)", "distance loss")
    for k, (label, value) in enumerate(zip(labels, true.as_dict().values(), strict=True)):
        table.add_row(label, _vector(value), *(f"±{d[k]:.0e}" if d[k] else "exact" for d in apart))
    point = ", ".join(f"{name} = {_point(getattr(example, name.upper()))}" for name in "xyuv")
    pairs = [f"{_point(a)} {_point(b)}" for a, b in zip(example.LABELS, example.PREDICTIONS, strict=True)]
    return Group(
        Text("Cosine similarity, its gradient and its total derivative", style="bold"),
        Text(f"  at {point};"),
        Text(f"  the distance loss of the rows {' and '.join(pairs)}"),
        table,
    )


def faces(reports: Sequence[Report]) -> RenderableType:
    """One line per check, one column per face; what it asks where a terminal has room for it."""
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


def errors(reports: Sequence[Report]) -> RenderableType:
    """The worst error of the kernel by dtype, over everything that was measured."""
    quantities = {"S": "0.501", "D": "0.501", "gradients": "0.51"}
    table = _plain("Worst error by dtype, in ulp beyond what cancels")
    table.add_column("")
    table.add_column("dtype")
    for q, bound in quantities.items():
        table.add_column(f"{q} ≤ {bound}", justify="right")
    for r in reports:
        kernel = [row for row in r.rows if row.check != "closed forms"]
        for k, dtype in enumerate(FORMATS):
            seen = [
                [row.worst[q][dtype] for row in kernel if dtype in row.worst.get(q, {})] for q in quantities
            ]
            if any(seen):
                table.add_row("" if k else r.subject.name, dtype, *(ulps(max(s)) if s else "·" for s in seen))
    return table


def target(report: Report) -> RenderableType:
    """One line per check, with what came out."""
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


def verdict(reports: Sequence[Report], strict: bool) -> tuple[bool, RenderableType]:
    """Whether all is well, and the last line."""
    rows = [row for r in reports for row in r.rows]
    count = {v: sum(row.verdict == v for row in rows) for v in MARKS}
    good = not count["fail"] and not (strict and count["hazard"])
    words = {"pass": "passed", "hazard": "hazards", "fail": "failed", "skipped": "skipped"}
    tally = ", ".join(f"{n} {words[v] if n > 1 or v != 'hazard' else v}" for v, n in count.items() if n)
    text = Text.assemble(
        ("success!", "bold green") if good else ("failure", "bold red"), (f"  {tally}", "dim")
    )
    return good, text


def as_json(reports: Sequence[Report], good: bool, version: str) -> dict[str, Any]:
    """Every row."""
    return {
        "version": version,
        "success": good,
        "seed": reports[0].subject.seed,
        "rows": [row.as_dict() for r in reports for row in r.rows],
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Readable by people too."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_html(path: Path, show: Callable[[Console], None]) -> None:
    """The same tables as a page that needs nothing else."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=120, file=nowhere, force_terminal=True)
        show(console)
        path.write_text(console.export_html(), encoding="utf-8")
