"""Build the site: `python docs/site/build.py [DIRECTORY]`. The default directory is build/site.

The pages of docs/ are plain Markdown, which a code host can show too. This script copies them to build/pages
and adds the table of contents, the figures, which it measures, and the reference, which it makes from the
docstrings. Nothing is downloaded.
"""

import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import figures
from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent
DOCS, ROOT = HERE.parent, HERE.parent.parent
PAGES = ROOT / "build" / "pages"

CONTENTS = {
    "Start": ["tour", "coming-from"],
    "Use": ["torch", "jax", "tensorflow", "keras", "contrastive", "training", "export", "score"],
    "Trust": ["numerics", "derivation", "verify", "bench"],
    "Reference": [f"api/{name}" for name in ("cosgrad", "numpy", "torch", "jax", "tensorflow", "keras")],
    "Change": ["architecture", "contributing", "changelog"],
}
SHORT = {
    "training": "In training libraries",
    "score": "Large files",
    "numerics": "Numerics",
    "derivation": "Derivation",
    "verify": "Verify",
    "bench": "Bench",
}
REFERENCE = {
    "cosgrad": ["cosgrad"],
    "numpy": ["cosgrad.numpy"],
    "torch": ["cosgrad.torch", "cosgrad.torch.nn", "cosgrad.integrations.sentence_transformers"],
    "jax": ["cosgrad.jax"],
    "tensorflow": ["cosgrad.tensorflow", "cosgrad.tensorflow.compat"],
    "keras": ["cosgrad.keras.losses", "cosgrad.keras.metrics"],
}
OPTIONAL = {"cosgrad.integrations.sentence_transformers": "sentence_transformers"}

LINK = re.compile(r"\]\(([^)\s:#]+)(#[^)\s]*)?\)")
PROJECT = {ROOT / "CONTRIBUTING.md": "contributing.md", ROOT / "CHANGELOG.md": "changelog.md"}


def main(site: Path) -> int:
    """Build all pages, and return 0 if nothing is missing and no link is broken."""
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES / "api").mkdir(parents=True)
    for page in [*sorted(DOCS.glob("*.md")), *PROJECT]:
        copy(page, PAGES / PROJECT.get(page, page.name))
    for name, modules in REFERENCE.items():
        (PAGES / "api" / f"{name}.md").write_text(reference(name, modules))
    with (PAGES / "index.md").open("a") as index:
        index.writelines(contents(part, pages) for part, pages in CONTENTS.items())
    figures.draw(PAGES / "figures")
    options = ["-W", "--keep-going", "-n", "-q", "-c", str(HERE), "-d", str(PAGES / ".doctrees")]
    return build_main([*options, str(PAGES), str(site)])


def copy(page: Path, to: Path) -> None:
    """Copy a page, and copy the files that it links to, other than pages, as downloads."""

    def moved(link: re.Match[str]) -> str:
        target = (page.parent / link[1]).resolve()
        if target in PROJECT:
            return f"]({PROJECT[target]}{link[2] or ''})"
        if target.parent == DOCS:
            return f"]({target.name}{link[2] or ''})"
        beside = PAGES / "files" / target.relative_to(ROOT)
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, beside)
        return f"]({beside.relative_to(PAGES)})"

    text = LINK.sub(moved, page.read_text())
    text = re.sub(r"\n+^```$", "\n```", text, flags=re.MULTILINE)  # only doctest needs this empty line
    to.write_text(re.sub(r"^<!-- figure: (\S+): (.+) -->$", figure, text, flags=re.MULTILINE))


def figure(mark: re.Match[str]) -> str:
    """Return the named figure, for light and dark backgrounds, and its caption."""
    name, caption = mark.groups()
    images = (
        f"```{{image}} figures/{name}-{theme}.svg\n:alt: {caption}\n:class: only-{theme}\n```"
        for theme in figures.THEMES
    )
    return "\n\n".join([*images, f"*{caption}*"])


def reference(name: str, modules: list[str]) -> str:
    """Return a reference page for the modules, whose members are in the order of the source."""
    title = name if name == "cosgrad" else f"cosgrad.{name}"
    parts = [f"# {title}\n"]
    for module in modules:
        if module in OPTIONAL and find_spec(OPTIONAL[module]) is None:
            continue
        if module != title and len(modules) > 1:
            parts.append(f"## {module}\n")
        parts.append(f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n")
    return "\n".join(parts)


def contents(part: str, pages: list[str]) -> str:
    """Return one part of the table of contents, with the pages that exist."""
    there = [
        f"{SHORT[page]} <{page}>" if page in SHORT else page
        for page in pages
        if (PAGES / f"{page}.md").exists()
    ]
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {part}", "", *there, "```", ""])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site")))
