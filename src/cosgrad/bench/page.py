"""The HTML page of `cosgrad bench --html`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cosgrad.bench.entries import Entry, Protocol
from cosgrad.bench.rivals import FRAMEWORKS
from cosgrad.bench.summary import WORK, at_a_glance, findings, troubles
from cosgrad.report.figures import duration, size
from cosgrad.report.html import Html, bullets, details, join, page, section, table, tag
from cosgrad.report.svg import Plot, Series, figure, power

TITLE = "Cosine similarity: who is right, how fast, in how much memory"
HALF = (0.5, "nearest")
SMALL = (1e5, "≤0.1 MB")


def render(
    entries: Sequence[Entry], protocol: Protocol, about: Mapping[str, Any], notes: Sequence[str]
) -> str:
    """Return the whole page.

    Args:
        entries: The results of all libraries.
        protocol: The inputs and the number of repetitions.
        about: Facts about the machine.
        notes: Warnings for the reader, for example that the machine was busy.
    """
    head, rows = at_a_glance(entries, protocol)
    found = [join((tag("b", word), _said(said))) for word, said in findings(entries, protocol)]
    others = sum(e.status == "measured" and not e.ours for e in entries)
    lead = (
        "cosgrad computes the cosine similarity of vectors, its distance, its losses and their derivatives. "
        f"Here it stands beside {others} other implementations that are installed on this machine, by one "
        "protocol, also where they are better."
    )
    return page(
        TITLE,
        tag("p", lead),
        bullets(found, class_="found"),
        *(tag("p", note, class_="note warn") for note in notes),
        section(
            "At a glance",
            tag(
                "p",
                "One line for each library that was measured. Errors are in units in the last place of "
                "float32 (ulp): rounding alone costs up to 0.5. “cosgrad is as fast” is the speed of "
                "cosgrad for the same framework relative to the library, timed in turn. Memory is the peak "
                "beside the inputs. If a library has no distance, it is computed as 1 minus the similarity.",
            ),
            table(head, rows, label="every library in one line", left=(0, 2)),
        ),
        _missing(entries),
        *_accuracy(entries, protocol),
        *_speed(entries),
        _machine(entries, about),
        _method(protocol),
    )


def _said(sentence: str) -> Html:
    """Return a sentence of three or more parts as a list."""
    parts = sentence.removesuffix(".").split("; ")
    return bullets(parts) if len(parts) > 2 else Html(tag("span", sentence))


def _missing(entries: Sequence[Entry]) -> Html:
    said = troubles(entries)
    body = (
        bullets(said) if said else tag("p", "Nothing: every library was installed, and did all of its work.")
    )
    return section("Missing or failed", body)


def _accuracy(entries: Sequence[Entry], protocol: Protocol) -> list[Html]:
    axes: dict[str, tuple[str, list[tuple[float, str]]]] = {
        "angle": (
            "angle in rad",
            [
                (1e-7, power(1e-7)),
                *((10.0**k, power(10.0**k)) for k in range(-6, 1)),
                (protocol.angles[0], "3"),
            ],
        ),
        "scale": (
            "norm of both vectors",
            [(10.0**k, power(10.0**k)) for k in range(-30, 31, 10)],
        ),
    }
    parts = []
    for quantity in ("distance", "similarity"):
        for against, (label, ticks) in axes.items():

            def curve(
                e: Entry, quantity: str = quantity, against: str = against
            ) -> list[tuple[float, float]]:
                errors = e.errors.get(quantity, {}).get(against, [])
                return list(zip(getattr(protocol, against + "s"), errors, strict=False))

            title = f"Error of the {quantity} against {against}"
            says = (
                "The largest error in ulp at each point, in units in the last place of float32. On the line "
                "“nearest” a result is the nearest float32 to the true value, and cannot be better; on the "
                "line at the top it is NaN, or infinite."
            )
            parts.append(
                section(
                    title,
                    tag("p", says),
                    _plots(entries, title, curve, label, "ulp", ticks, power, HALF, "NaN"),
                )
            )
    return parts


def _speed(entries: Sequence[Entry]) -> list[Html]:
    parts = []
    for kind, work in WORK.items():
        rows = sorted({n for e in entries for n in e.figures.get(kind, {})})
        if len(rows) < 2:
            continue
        ticks = [(float(n), f"{n:,}") for n in rows]
        least = min(f.seconds for e in entries for f in e.figures.get(kind, {}).values())
        fast = 10.0 ** math.floor(math.log10(least))

        def seconds(e: Entry, kind: str = kind) -> list[tuple[float, float]]:
            return [(n, f.seconds) for n, f in e.figures.get(kind, {}).items()]

        def peaks(e: Entry, kind: str = kind) -> list[tuple[float, float]]:
            figures = e.figures.get(kind, {}).items()
            return [(n, float(f.peak_bytes)) for n, f in figures if f.peak_bytes is not None]

        title, label = f"Time against size: {work}", "rows"
        parts.append(
            section(
                title,
                _plots(
                    entries,
                    title,
                    seconds,
                    label,
                    "time",
                    ticks,
                    duration,
                    (fast, duration(fast)),
                    below=False,
                ),
            )
        )
        title = f"Memory against size: {work}"
        parts.append(
            section(
                title,
                tag("p", "The peak beside the inputs; gradients count, since they are results."),
                _plots(entries, title, peaks, label, "bytes", ticks, size, SMALL),
            )
        )
    return parts


def _plots(
    entries: Sequence[Entry],
    title: str,
    curve: Callable[[Entry], list[tuple[float, float]]],
    x_label: str,
    y_label: str,
    ticks: Sequence[tuple[float, str]],
    y_name: Callable[[float], str],
    floor: tuple[float, str],
    ceiling: str = "",
    *,
    below: bool = True,
) -> Html:
    """Return one plot for each framework, with cosgrad's frontend first."""
    drawn = []
    for frontend, name in FRAMEWORKS.items():
        series = [Series(e.name, points) for e in entries if e.frontend == frontend and (points := curve(e))]
        if series:
            says = f"{title}, libraries of {name}: {', '.join(s.name for s in series)}; the numbers follow."
            plot = Plot(
                f"{title}, {name}", says, x_label, y_label, ticks, y_name, series, floor, ceiling, below
            )
            drawn.append(figure(plot, heading=name))
    return tag("div", *drawn, class_="plots")


def _machine(entries: Sequence[Entry], about: Mapping[str, Any]) -> Html:
    facts = [[key.replace("_", " "), str(value)] for key, value in about.items()]
    called = [[e.name, e.version or "-", e.how] for e in entries]
    return section(
        "The machine and the libraries",
        table(["fact", "value"], facts, label="the machine's facts", left=(0, 1)),
        table(["library", "version", "what is called"], called, label="what is called", left=(0, 1, 2)),
    )


def _method(protocol: Protocol) -> Html:
    return section(
        "How it was measured",
        bullets(
            [
                f"Accuracy: {protocol.pairs} pairs of float32 vectors of length {protocol.length} at every "
                "angle and every norm; the true values are computed from the definition in exact sums and "
                "77 digits, by code that shares nothing with cosgrad. A result that is wider than float32 "
                "is rounded first. Where a library has only one of similarity and distance, the other is 1 "
                "minus it. Every library has its own default eps; cosgrad's is 0 here, which is the cosine "
                "itself.",
                "Every library runs in a process of its own, with as many threads as it takes by itself; "
                "idle threads of GNU OpenMP spin for 1 ms, not 15, so as not to spin into the next turn.",
                "Forward is the similarity, or the distance where the library has that alone.",
                f"Time: A B C, A B C, …: up to {protocol.rounds} rounds in which everyone of a framework "
                "has a turn of 20 ms or one call; medians. A ratio is the median of the rounds' ratios.",
                "Memory: how far the process's peak rises above what it held before, with the inputs in "
                "place. A pool of memory that a library keeps counts.",
            ]
        ),
        details("the sizes", tag("p", f"{protocol}")),
    )
