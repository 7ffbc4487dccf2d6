"""The HTML page of `cosgrad verify --html`."""

from __future__ import annotations

from collections.abc import Sequence

from cosgrad.report.figures import ulps
from cosgrad.report.html import Html, bullets, join, page, section, table, tag
from cosgrad.report.machine import machine, version, versions
from cosgrad.verify import report
from cosgrad.verify.findings import Row, Verdict
from cosgrad.verify.supervisor import Report

CLASSES: dict[Verdict, str] = {"pass": "good", "hazard": "warn", "fail": "bad", "skipped": "faint"}
MEANING: dict[Verdict, str] = {
    "pass": "no difference from the definition beyond what the type allows",
    "hazard": "what a careful implementation avoids and the mathematics does not forbid",
    "fail": "a wrong number on ordinary input",
    "skipped": "the framework, or this use of it, has no such thing",
}


def render(reports: Sequence[Report], strict: bool) -> str:
    """Return the whole page: the verdict, the findings, every check and the machine.

    Args:
        reports: One report for each frontend, or one for the target.
        strict: Whether hazards count as fails.
    """
    good, tally = report.counted(reports, strict)
    subject = reports[0].subject
    title = f"Is {subject.target} the cosine?" if subject.target else "cosgrad, held against the definition"
    what = (
        f"{subject.target}, a {subject.quantity} of {subject.framework} {subject.signature}, was held "
        if subject.target
        else "Every installed frontend of cosgrad was held "
    )
    how = (
        "against the definition of the cosine, computed in many digits by code that shares nothing with it, "
        f"on seeded inputs (seed {subject.seed})."
    )
    head = (
        tag(
            "p",
            tag("span", "success!" if good else "failure", class_="good" if good else "bad"),
            f"  {tally}",
            class_="verdict",
        ),
        tag("p", what + how),
        _found(reports),
    )
    body = [_target(reports[0])] if subject.target else _frontends(reports)
    libraries = versions(("numpy", *(r.subject.framework for r in reports)))
    facts = {"cosgrad": version("cosgrad") or "not installed"} | machine() | libraries
    rows = [[key, str(value)] for key, value in facts.items()]
    return page(
        title,
        *head,
        *body,
        section("The words", bullets(join((_verdict(v), f": {said}")) for v, said in MEANING.items())),
        section("The machine", table(["fact", "value"], rows, label="the machine's facts", left=(0, 1))),
    )


def _verdict(verdict: Verdict) -> Html:
    return tag("span", f"{report.MARKS[verdict]} {verdict}", class_=CLASSES[verdict])


def _found(reports: Sequence[Report]) -> Html:
    """List every fail, then every hazard, with one sentence each."""
    rows = [row for r in reports for row in r.rows]
    told = [row for v in ("fail", "hazard") for row in rows if row.verdict == v]
    if not told:
        return tag("p", "Nothing was found that differs from the definition.")
    many = len(reports) > 1
    return bullets(
        (
            join((tag("b", _verdict(row.verdict), f" {row.subject if many else ''} {row.check}"), row.why))
            for row in told
        ),
        class_="found",
    )


def _target(r: Report) -> Html:
    rows = [[row.check, _verdict(row.verdict), ulps(row.ulp), row.asks, _said(row)] for row in r.rows]
    head = ["check", "verdict", "ulp", "what it asks", "worst input; what is wrong"]
    return section("Every check", table(head, rows, label="every check", left=(0, 1, 3, 4)))


def _said(row: Row) -> Html:
    why = row.why if row.verdict != "pass" else ""
    where = [tag("span", row.where, class_="where faint")] if row.where else []
    return join((why, *where))


def _frontends(reports: Sequence[Report]) -> list[Html]:
    by_name = [{row.check: row for row in r.rows} for r in reports]
    names = {row.check: row.asks for r in reports for row in r.rows}
    rows = [[name, *(_cell(rows.get(name)) for rows in by_name), asks] for name, asks in names.items()]
    head = ["check", *(r.subject.name for r in reports), "what it asks"]
    where, worked_head, worked = report.worked_table(reports)
    head_errors, errors = report.errors_table(reports)
    parts = [
        section(
            "Every check, with the worst error in ulp",
            table(head, rows, label="every check in every framework", left=(0, len(head) - 1)),
        ),
        section(report.ERRORS, table(head_errors, errors, label=report.ERRORS, left=(0, 1))),
    ]
    if any(r.example for r in reports):
        says = tag("p", f"The similarity, its gradient and its total derivative {where}.")
        parts.append(section("A worked example", says, table(worked_head, worked, label="a worked example")))
    return parts


def _cell(row: Row | None) -> Html:
    if row is None:
        return Html("")
    said = f"{report.MARKS[row.verdict]} {ulps(row.ulp)}".strip()
    return tag("span", said, class_=CLASSES[row.verdict], title=row.verdict)
