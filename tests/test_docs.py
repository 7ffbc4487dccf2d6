"""Tests of the documents: their Python runs, their links have targets, and their commands exist."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("**/*.md"))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def examples(text: str) -> list[doctest.Example]:
    """Return the Python of a page in order.

    A block with prompts gives its examples. Any other block gives one statement.
    """
    found = []
    for fence in FENCE.finditer(text):
        if fence[1] != "python":
            continue
        block = fence[2]
        parsed = doctest.DocTestParser().get_examples(block) if ">>>" in block else []
        for example in parsed or [doctest.Example(f"exec({block!r})", "")]:
            example.lineno += text.count("\n", 0, fence.start(2))
            found.append(example)
    return found


def prose(text: str) -> str:
    return FENCE.sub("", text)


def anchor(heading: str) -> str:
    """Return the name under which links reach the heading in rendered pages."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# PyTorch's exporter causes this warning, because it copies an object that PyTorch has deprecated.
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
@pages
def test_examples_print_what_they_say(page: Path) -> None:
    text = page.read_text()
    test = doctest.DocTest(examples(text), {"__name__": "__main__"}, page.name, str(page), 0, text)
    report: list[str] = []
    failed, _ = doctest.DocTestRunner().run(test, out=report.append)
    assert not failed, "".join(report)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page.read_text())):
        if re.match(r"\w+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link} leads nowhere"
        if fragment:
            headings = HEADING.findall(prose(target.read_text()))
            assert fragment in map(anchor, headings), f"{link} names no heading of {target.name}"


@pages
def test_make_knows_the_tasks_that_are_named(page: Path) -> None:
    tasks = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )(?:\w+=\w+ )?make ([a-z][a-z-]*)", page.read_text()))
    assert named <= tasks, f"make has no task {named - tasks}"


FRAMEWORKS = ("numpy", "torch", "jax", "tensorflow", "keras")


def with_examples(part: str) -> list[str]:
    """Return the modules of a frontend whose docstrings have examples.

    The part "none" means the modules that belong to no frontend.
    """
    source = ROOT / "src" / "cosgrad"
    paths = source.rglob("*.py") if part == "none" else (source / part).rglob("*.py")
    names = []
    for path in sorted(paths):
        within = path.relative_to(source.parent).with_suffix("").parts
        if ">>>" in path.read_text() and not (part == "none" and within[1] in FRAMEWORKS):
            names.append(".".join(within).removesuffix(".__init__"))
    return names


@pytest.mark.parametrize("part", ["none", *FRAMEWORKS])
def test_examples_of_the_docstrings_print_what_they_say(part: str) -> None:
    if part != "none":
        pytest.importorskip(part)
    program = (
        "import doctest, importlib, sys\n"
        "results = [doctest.testmod(importlib.import_module(name)) for name in sys.argv[1:]]\n"
        "print('failed', sum(r.failed for r in results), 'without', sum(not r.attempted for r in results))"
    )
    command = [sys.executable, "-c", program, *with_examples(part)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert "failed 0 without 0" in run.stdout, run.stdout + run.stderr
