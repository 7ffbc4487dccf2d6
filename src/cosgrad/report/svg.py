"""Plots with logarithmic axes, as inline SVG with the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cosgrad.report.html import Html, bullets, details, join, table, tag

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 410, 14, 226
BAND = 16
"""The distance of the floor below the axis, and of the ceiling above it."""

DASHES = ("none", "none", "6 3", "2 2.5", "9 3 2 3", "4 2")
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus")
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A curve. A y of inf is drawn at the ceiling, a y below the floor at the floor."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Plot:
    """Curves over logarithmic axes.

    Attributes:
        title: The title of the plot.
        says: One sentence for screen readers.
        x_label: The label of x, with its unit if it has one.
        y_label: The label of y, with its unit.
        x_ticks: Values and their labels; the axis goes from the first to the last.
        y_name: The function that formats a value of y.
        series: At most six curves; the first has the boldest line.
        floor: The lowest y, and its label.
        ceiling: The label for y = inf.
        below: Whether values at or below the floor are drawn apart from values just above it.
    """

    title: str
    says: str
    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]]
    y_name: Callable[[float], str]
    series: Sequence[Series]
    floor: tuple[float, str]
    ceiling: str = ""
    below: bool = True

    def decades(self) -> tuple[int, int]:
        """Return the exponents of ten that bound the curves."""
        values = [y for s in self.series for _, y in s.points if math.isfinite(y) and y > self.floor[0]]
        low = math.floor(math.log10(self.floor[0]) + 1e-9)
        return low, max(low + 1, math.ceil(math.log10(max(values, default=1.0))))

    def place(self, x: float, y: float) -> Point:
        """Return the position of a point."""
        return self._across(x), self._up(y)

    def _across(self, x: float) -> float:
        first, last = math.log10(self.x_ticks[0][0]), math.log10(self.x_ticks[-1][0])
        return LEFT + 10 + (math.log10(x) - first) / (last - first) * (RIGHT - LEFT - 20)

    def _up(self, y: float) -> float:
        if math.isinf(y):
            return TOP
        if y <= self.floor[0]:
            return BOTTOM
        low, high = math.log10(self.floor[0]), self.decades()[1]
        top, bottom = TOP + (BAND if self.ceiling else 0), BOTTOM - (BAND if self.below else 0)
        return bottom - (math.log10(y) - low) / (high - low) * (bottom - top)


def figure(plot: Plot, heading: str = "") -> Html:
    """Return the plot, its legend, and its numbers as a table."""
    name = "".join(c if c.isalnum() else "-" for c in plot.title.lower())
    drawing = tag(
        "svg",
        tag("title", plot.title, id=f"{name}-title"),
        tag("desc", plot.says, id=f"{name}-desc"),
        *_axes(plot),
        *(_curve(plot, k) for k in reversed(range(len(plot.series)))),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    legend = bullets((join((_swatch(k), s.name)) for k, s in enumerate(plot.series)), class_="legend")
    return tag(
        "figure", tag("h3", heading or plot.title), drawing, legend, details("the numbers", _numbers(plot))
    )


def _axes(plot: Plot) -> list[Html]:
    parts = [_line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), _line(LEFT, TOP, LEFT, BOTTOM, "axis")]
    for x, said in plot.x_ticks:
        if said:
            across = plot._across(x)
            parts += [
                _line(across, BOTTOM, across, BOTTOM + 4, "axis"),
                _text(across, BOTTOM + 17, said, "middle"),
            ]
    low, high = plot.decades()
    step = math.ceil((high - low) / 6)
    for exponent in range(low if 10.0**low > plot.floor[0] else low + 1, high + 1, step):
        up = plot._up(10.0**exponent * (1 + 1e-12))
        parts += [
            _line(LEFT, up, RIGHT, up, "grid"),
            _text(LEFT - 6, up + 4, plot.y_name(10.0**exponent), "end"),
        ]
    parts.append(_text(LEFT - 6, BOTTOM + 4, plot.floor[1], "end"))
    if plot.ceiling:
        parts += [_line(LEFT, TOP, RIGHT, TOP, "grid"), _text(LEFT - 6, TOP + 4, plot.ceiling, "end")]
    parts.append(_text((LEFT + RIGHT) / 2, HEIGHT - 8, f"{plot.y_label} against {plot.x_label}", "middle"))
    return parts


def _curve(plot: Plot, k: int) -> Html:
    series = plot.series[k]
    places = [plot.place(*point) for point in series.points]
    line = tag(
        "polyline",
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places),
        class_=f"curve s{k % 6}",
        stroke_dasharray=DASHES[k % 6],
    )
    named = [
        _mark(*place, k, f"{series.name}: {_value(plot, y)} at {plot.x_label} {x:g}")
        for place, (x, y) in zip(places, series.points, strict=True)
    ]
    return tag("g", line, *named)


def _mark(x: float, y: float, k: int, said: str = "") -> Html:
    """Return the marker of a series, which distinguishes it without colour."""
    r = 3.6
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle": [(0, -r - 1), (r + 1, r), (-r - 1, r)],
        "diamond": [(0, -r - 1.5), (r + 1.5, 0), (0, r + 1.5), (-r - 1.5, 0)],
    }
    title = [tag("title", said)] if said else []
    shape, style = SHAPES[k % 6], f"mark s{k % 6}"
    if shape == "circle":
        return tag("circle", *title, cx=f"{x:.1f}", cy=f"{y:.1f}", r=r, class_=style)
    if shape in corners:
        points = " ".join(f"{x + a:.1f},{y + b:.1f}" for a, b in corners[shape])
        return tag("polygon", *title, points=points, class_=style)
    ends = [(r, r), (r, -r)] if shape == "cross" else [(r + 1, 0), (0, r + 1)]
    path = "".join(f"M{x - a:.1f} {y - b:.1f}L{x + a:.1f} {y + b:.1f}" for a, b in ends)
    return tag("path", *title, d=path, class_=style)


def _swatch(k: int) -> Html:
    line = tag(
        "line",
        x1=1,
        y1=7,
        x2=31,
        y2=7,
        class_=f"curve s{k % 6}",
        stroke_dasharray=DASHES[k % 6],
    )
    return tag("svg", line, _mark(16, 7, k), width=32, height=14, aria_hidden="true")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=style)


def _text(x: float, y: float, said: str, anchor: str) -> Html:
    return tag("text", said, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _value(plot: Plot, y: float) -> str:
    return plot.ceiling if math.isinf(y) else plot.y_name(y)


def _numbers(plot: Plot) -> Html:
    columns = [dict(s.points) for s in plot.series]
    every = sorted({x for column in columns for x in column})
    rows = [
        [f"{x:g}", *(_value(plot, column[x]) if x in column else "" for column in columns)] for x in every
    ]
    return table([plot.x_label, *(s.name for s in plot.series)], rows, label=plot.title)


def power(value: float) -> str:
    """Format a number as a multiple of a power of ten.

    Example:
        >>> power(1e-7), power(1.0), power(3.2e5)
        ('10⁻⁷', '1', '3.2·10⁵')
    """
    exponent = math.floor(math.log10(value) + 1e-9)
    mantissa = value / 10.0**exponent
    plain = math.isclose(mantissa, 1, rel_tol=1e-6)
    if -2 < exponent < 3:
        return f"{value:.3g}"
    raised = f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return raised if plain else f"{mantissa:.2g}·{raised}"
