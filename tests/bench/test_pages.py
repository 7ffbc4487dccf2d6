"""Tests of the generated pages: their content, and how a real browser shows them."""

import re
import shutil
from html.parser import HTMLParser
from math import inf

import pytest
from bench_cases import PROTOCOL, entries

from cosgrad.bench import page as bench_page
from cosgrad.report.html import bullets, join, table, tag
from cosgrad.report.svg import BOTTOM, DASHES, SHAPES, TOP, Plot, Series, figure, power
from cosgrad.verify import page as verify_page
from cosgrad.verify.findings import Row
from cosgrad.verify.subject import Subject
from cosgrad.verify.supervisor import Report

FACTS = {"processor": "a & b", "cpus": 2, "isa": "baseline"}
WHERE = "near parallel float32 n 768 row 3 |x| 1.2e-05 |y| 0.9 angle 1e-07"
VOID = {"meta", "link"}


def bench() -> str:
    return bench_page.render(entries(), PROTOCOL, FACTS, ["Other work was running."])


def target() -> str:
    subject = Subject("torch", "package.with_a_long_name.and_more:cosine_similarity_of_somebody_else")
    rows = [
        Row(subject.name, "value", "right on ordinary vectors", "pass", 1.5, WHERE),
        Row(subject.name, "zero vectors", "S = 0", "hazard", None, WHERE, "it is NaN at a <zero> vector"),
        Row(subject.name, "gradients", "dS/dx", "fail", inf, WHERE, "the gradient has the wrong sign"),
        Row(subject.name, "vmap", "values", "skipped", why="it raises ValueError"),
    ]
    return verify_page.render([Report(subject, rows)], strict=False)


def frontends() -> str:
    names = ("numpy", "torch", "jax", "tensorflow")
    worst = {"S": {"float32": 0.4999}}
    rows = {n: [Row(n, f"check {k}", "asks", "pass", 0.5, worst=worst) for k in range(5)] for n in names}
    return verify_page.render([Report(Subject(n), rows[n]) for n in names], strict=False)


PAGES = {"bench": bench, "target": target, "frontends": frontends}
pages = pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)


class Tree(HTMLParser):
    """Counts the elements of a page and checks that each one is closed by its own end tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, name: str, attributes: list) -> None:
        self.seen.append((name, dict(attributes)))
        if name not in VOID | {"wbr"}:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def count(self, name: str) -> int:
        return sum(name == each for each, _ in self.seen)


@pages
def test_a_page_is_whole_and_needs_nothing_else(make):
    text = make()
    tree = Tree(text)
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|//|@import|url\(", text)
    assert not {"script", "img", "iframe"} & {name for name, _ in tree.seen}
    links = [a[key] for _, a in tree.seen for key in ("href", "src") if key in a]
    assert links == ["data:,"]
    names = [a["id"] for _, a in tree.seen if "id" in a]
    assert len(names) == len(set(names))
    assert tree.count("table") == sum(a.get("class") == "scroll" for _, a in tree.seen)


def test_the_bench_page_has_every_section_and_every_number():
    text = bench()
    tree = Tree(text)
    for quantity in ("similarity", "distance"):
        for against in ("angle", "scale"):
            assert f"Error of the {quantity} against {against}" in text
    for kind in ("one similarity a row", "mean distance with both gradients"):
        assert f"Time against size: {kind}" in text
        assert f"Memory against size: {kind}" in text
    assert "partial, loss: ValueError: &lt;no&gt; gradient" in text
    assert "not installed: absent" in text
    assert "broken: it crashed" in text
    assert "a &amp; b" in text
    assert "Other work was running." in text
    drawings = [a for name, a in tree.seen if name == "svg" and a.get("role") == "img"]
    assert len(drawings) == tree.count("figure") == tree.count("details") - 1 == 8
    assert tree.count("desc") == 8
    assert all(len(a["aria-labelledby"].split()) == 2 for a in drawings)


def test_the_verify_page_tells_its_findings_first_and_the_worst_of_them_before_the_others():
    text = target()
    order = [
        "failure",
        "the gradient has the wrong sign",
        "it is NaN at a &lt;zero&gt; vector",
        "<table",
        WHERE,
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_what_is_not_html_is_escaped():
    assert (
        tag("p", "<b>", join(("&", tag("i", ">"))), title='"')
        == '<p title="&quot;">&lt;b&gt;&amp;<i>&gt;</i></p>'
    )
    assert "<td>&lt;</td>" in table(["a", "b"], [["x", "<"]], label="t")
    assert bullets(["a<b"]) == "<ul><li>a&lt;b</li></ul>"


@pytest.fixture
def plot() -> Plot:
    series = [Series(f"s{k}", [(1e-2, 1e3 / 10**k), (1.0, inf), (100.0, 0.1)]) for k in range(6)]
    ticks = [(1e-2, "low"), (100.0, "high")]
    return Plot("title", "says", "x", "y", ticks, power, series, (0.5, "floor"), "ceiling")


def test_a_plot_puts_inf_at_the_top_and_what_is_below_the_floor_at_the_bottom(plot):
    (left, high), (middle, top), (right, bottom) = (plot.place(*point) for point in plot.series[0].points)
    assert top == TOP
    assert bottom == BOTTOM
    assert TOP < high < BOTTOM
    assert middle - left == pytest.approx(right - middle)
    tens = [plot.place(1.0, 10.0**k)[1] for k in range(4)]
    assert tens[0] - tens[1] == pytest.approx(tens[2] - tens[3])


def test_no_two_curves_differ_by_colour_alone(plot):
    assert len(set(zip(DASHES, SHAPES, strict=True))) == len(set(SHAPES)) == 6
    text = figure(plot)
    Tree(text)
    assert all(f"<span>{s.name}</span>" in text or f"</svg>{s.name}</li>" in text for s in plot.series)


# A real browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if path is None:
        pytest.skip("Chromium is not installed (Debian and Ubuntu: apt-get install chromium)")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
@pages
def test_a_browser_shows_it(chromium, make, width, scheme, tmp_path):
    path, said = tmp_path / "page.html", []
    path.write_text(make(), encoding="utf-8")
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    try:
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: said.append(request.url) if not request.url.startswith("file:") else None,
        )
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        widest = "Math.max(...[...document.querySelectorAll('.scroll, svg[role=img], li, p')]"
        assert page.evaluate(f"{widest}.map(e => e.getBoundingClientRect().right))") <= width
        ground, ink = page.evaluate(
            "[e => e.backgroundColor, e => e.color].map(f => f(getComputedStyle(document.body)))"
            ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 765)"
        )
        assert (ground > 0.9 and ink < 0.2) if scheme == "light" else (ground < 0.1 and ink > 0.8)
        sizes = "[...document.querySelectorAll('th, td')].map(e => parseFloat(getComputedStyle(e).fontSize))"
        assert page.evaluate(f"Math.min(...{sizes})") >= 12
    finally:
        context.close()
    assert not said
