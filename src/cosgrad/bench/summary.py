"""The results in sentences and tables: best and worst results, also where a competitor is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cosgrad.bench.entries import KINDS, QUANTITIES, Entry, Figure, Protocol
from cosgrad.report.figures import duration, size, times, ulps

SLACK = 0.01
"""In ulp. A competitor's error counts as smaller only if the difference exceeds this."""

MEGABYTES = 16e6
"""In bytes. Smaller differences between peaks come from compiled programs and pages."""

WORK = {"forward": "one similarity a row", "loss": "mean distance with both gradients"}


@dataclass(frozen=True)
class Worst:
    """The largest error of a library, and the input with this error."""

    ulp: float
    where: str

    def __str__(self) -> str:
        """Return the text for a sentence."""
        return f"{'NaN or Inf' if math.isinf(self.ulp) else f'{ulps(self.ulp)} ulp'} ({self.where})"


def worst(entry: Entry, protocol: Protocol, *, finite: bool = False) -> Worst | None:
    """Return the largest error of a library. With `finite`, return the largest finite error."""
    found = [
        Worst(ulp, f"{quantity}, {_place(against, at)}")
        for quantity, by in entry.errors.items()
        for against, errors in by.items()
        for at, ulp in zip(getattr(protocol, against + "s"), errors, strict=True)
        if not (finite and math.isinf(ulp))
    ]
    return max(found, key=lambda w: w.ulp, default=None)


def infinite(entry: Entry) -> tuple[int, int]:
    """Return the number of points with NaN or Inf, and the number of all points."""
    errors = [ulp for by in entry.errors.values() for curve in by.values() for ulp in curve]
    return sum(map(math.isinf, errors)), len(errors)


def _never(entry: Entry) -> str:
    count, points = infinite(entry)
    return f"{count} of {points} points" if count else "never"


def _place(against: str, at: float) -> str:
    said = f"{at:g}".replace("e-0", "e-").replace("e+", "e")
    return f"{said} rad" if against == "angle" else f"norms {said}"


def findings(entries: Sequence[Entry], protocol: Protocol) -> list[tuple[str, str]]:
    """Return headings and sentences: accuracy, speed, memory, and where another library is better."""
    measured = [e for e in entries if e.status == "measured"]
    ours, rivals = [e for e in measured if e.ours], [e for e in measured if not e.ours]
    found = [
        ("Accuracy", _accuracy(ours, rivals, protocol)),
        ("Speed", _speed(rivals)),
        ("Memory", _memory(ours, rivals)),
        ("Where another is better", "; ".join(better(ours, rivals, protocol)) + "."),
    ]
    return [(heading, sentence) for heading, sentence in found if sentence]


def _accuracy(ours: Sequence[Entry], rivals: Sequence[Entry], protocol: Protocol) -> str:
    own = [w for e in ours if (w := worst(e, protocol))]
    theirs = [(e.name, w) for e in rivals if (w := worst(e, protocol, finite=True))]
    if not own:
        return ""
    said = f"cosgrad's largest error is {max(own, key=lambda w: w.ulp)}"
    if theirs:
        (name, least), (last, most) = (f(theirs, key=lambda pair: pair[1].ulp) for f in (min, max))
        broken = sum(infinite(e)[0] > 0 for e in rivals)
        if last == name:
            said += f"; that of {name} is {least}" + (", beside NaN or Inf" if broken else "")
        else:
            said += f"; of the others {name} comes nearest, with {least}, and {last} is farthest, with {most}"
            said += f"; {broken} of {len(rivals)} return NaN or Inf for some input" if broken else ""
    return said + "."


def _speed(rivals: Sequence[Entry]) -> str:
    parts = []
    for kind in KINDS:
        rows, ratios = _largest(rivals, kind)
        if ratios:
            low, high = min(ratios), max(ratios)
            parts.append(
                f"{times(low)} to {times(high)} as fast at {WORK[kind]}, {rows:,} rows"
                if len(ratios) > 1
                else f"{times(low)} as fast at {WORK[kind]}, {rows:,} rows"
            )
    return f"Against the others cosgrad is {'; '.join(parts)}." if parts else ""


def _largest(entries: Sequence[Entry], kind: str) -> tuple[int, list[float]]:
    """Return the largest number of rows, and the ratios there."""
    rows = max((n for e in entries for n in e.figures.get(kind, {})), default=0)
    figures = [e.figures[kind][rows] for e in entries if rows in e.figures.get(kind, {})]
    return rows, [f.ratio for f in figures if f.ratio is not None]


def _memory(ours: Sequence[Entry], rivals: Sequence[Entry]) -> str:
    parts = []
    for kind in KINDS:
        rows = max((n for e in ours for n in e.figures.get(kind, {})), default=0)
        own, theirs = _peaks(ours, kind, rows), _peaks(rivals, kind, rows)
        if own:
            others = f", the others {_span(theirs)}" if theirs else ""
            parts.append(f"{_span(own)} for {WORK[kind]} of {rows:,} rows{others}")
    return f"Beside its inputs cosgrad takes {'; '.join(parts)}." if parts else ""


def _peaks(entries: Sequence[Entry], kind: str, rows: int) -> list[int]:
    figures = [e.figures[kind][rows] for e in entries if rows in e.figures.get(kind, {})]
    return [f.peak_bytes for f in figures if f.peak_bytes is not None]


def _span(peaks: Sequence[int]) -> str:
    low, high = size(min(peaks)), size(max(peaks))
    return low if low == high else f"{low} to {high}"


def better(ours: Sequence[Entry], rivals: Sequence[Entry], protocol: Protocol) -> list[str]:
    """Return where competitors are better than cosgrad's frontend of their framework.

    Each sentence gives the largest advantage.
    """
    own = {e.frontend: e for e in ours}
    said = []
    for rival in rivals:
        if frontend := own.get(rival.frontend):
            said += list(_beats(rival, frontend, protocol))
    if not rivals:
        return ["No other library was measured"]
    return said or ["Nowhere that was measured"]


def _beats(rival: Entry, frontend: Entry, protocol: Protocol) -> Iterator[str]:
    for kind in KINDS:
        mine, theirs = frontend.figures.get(kind, {}), rival.figures.get(kind, {})
        faster = {n: f.ratio for n, f in theirs.items() if f.ratio and f.ratio_high and f.ratio_high < 1}
        if faster:
            rows = min(faster, key=faster.__getitem__)
            where = ", ".join(f"{n:,}" for n in sorted(faster))
            up_to = "up to " if len(faster) > 1 else ""
            yield f"{rival.name} is {up_to}{times(1 / faster[rows])} as fast ({kind}, {where} rows)"
        saved = {
            n: _peak(mine[n]) - _peak(f) for n, f in theirs.items() if n in mine and f.peak_bytes is not None
        }
        rows = max(saved, key=saved.__getitem__, default=0)
        if rows and saved[rows] > MEGABYTES:
            yield f"{rival.name} takes {size(saved[rows])} less ({kind}, {rows:,} rows)"
    gains = [
        (own - their, Worst(their, f"{quantity}, {_place(against, at)}, ours {ulps(own)}"))
        for quantity in QUANTITIES
        for against in ("angle", "scale")
        for at, own, their in zip(
            getattr(protocol, against + "s"),
            frontend.errors.get(quantity, {}).get(against, []),
            rival.errors.get(quantity, {}).get(against, []),
            strict=False,
        )
        if own > 0.5 and own - their > SLACK
    ]
    if gains:
        yield f"{rival.name} errs by only {max(gains, key=lambda g: g[0])[1]}"


def _peak(figure: Figure) -> int:
    return figure.peak_bytes or 0


def at_a_glance(entries: Sequence[Entry], protocol: Protocol) -> tuple[list[str], list[list[str]]]:
    """Return a line per library: its largest error, the relative speed of cosgrad, and its memory."""
    head = ["library", "largest error, ulp", "where", "NaN or Inf"]
    last: dict[str, int] = {}
    for kind in KINDS:
        last[kind] = max((n for e in entries for n in e.figures.get(kind, {})), default=0)
        if last[kind]:
            head += [f"{kind}, {last[kind]:,} rows", "cosgrad is as fast", "memory"]
    rows = [_glance(e, protocol, last) for e in entries if e.status == "measured"]
    return head, rows


def _glance(entry: Entry, protocol: Protocol, last: dict[str, int]) -> list[str]:
    row = [entry.name, *_errors(entry, protocol)]
    for kind, rows in last.items():
        if not rows:
            continue
        figure = entry.figures.get(kind, {}).get(rows)
        if figure is None:
            row += ["failed" if kind in entry.failed else "-", "", ""]
        else:
            row += [duration(figure.seconds), times(figure.ratio), size(figure.peak_bytes)]
    return row


def _errors(entry: Entry, protocol: Protocol) -> list[str]:
    """Return the largest finite error, its input, and how often the result is NaN or Inf."""
    most = worst(entry, protocol, finite=True)
    return [*(("", "") if most is None else (ulps(most.ulp), most.where)), _never(entry)]


def by_size(
    entries: Sequence[Entry], cell: Callable[[Entry, Figure], str]
) -> tuple[list[str], list[list[str]]]:
    """Return a line per library, with a column per kind of work and number of rows."""
    columns = [(k, n) for k in KINDS for n in sorted({n for e in entries for n in e.figures.get(k, {})})]
    rows = [
        [e.name, *(cell(e, f) if (f := e.figures.get(k, {}).get(n)) else "-" for k, n in columns)]
        for e in entries
        if e.figures
    ]
    return ["library", *(f"{kind} {n:,}" for kind, n in columns)], rows


def worst_errors(entries: Sequence[Entry], protocol: Protocol) -> tuple[list[str], list[list[str]]]:
    """Return a line per library: its largest finite error, the input, and how often it is NaN or Inf."""
    rows = [[e.name, *_errors(e, protocol)] for e in entries if e.errors]
    return ["library", "largest error", "where", "NaN or Inf"], rows


def troubles(entries: Sequence[Entry]) -> list[str]:
    """Return the missing libraries and the failed measurements, each with the reason."""
    absent = [e for e in entries if e.status == "missing" and e.version is None]
    said = [f"not installed: {', '.join(e.name for e in absent)}"] if absent else []
    said += [f"{e.name}: {e.why}" for e in entries if e.status != "measured" and e not in absent]
    return said + [
        f"{e.name}, {what}: {why}"
        for e in entries
        for what, why in e.failed.items()
        if e.status == "measured"
    ]
