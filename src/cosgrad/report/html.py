"""Self-contained HTML pages: no scripts, no network, light and dark mode, from 375 pixels up."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape
from pathlib import Path


class Html(str):
    """Text that is already HTML and is not escaped again."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float) -> Html:
    """Return an element. A trailing underscore of an attribute is dropped; others become hyphens.

    Example:
        >>> tag("p", "1 < 2", tag("b", "!"), class_="note")
        '<p class="note">1 &lt; 2<b>!</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Join parts; those that are not HTML are escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part, quote=False) for part in parts))


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, label: str, left: Collection[int] = (0,)
) -> Html:
    """Return a table that scrolls inside its own container.

    Args:
        head: The headings of the columns.
        rows: The cells of each row; the first is the heading of the row.
        label: The label for screen readers.
        left: Columns of words, which are aligned left; the others are numbers.
    """

    def cell(name: str, k: int, content: str, **attributes: str) -> Html:
        return tag(name, content, **attributes, **({"class_": "words"} if k in left else {}))

    body = [
        tag(
            "tr",
            *(cell("td", k, c) if k else cell("th", k, c, scope="row") for k, c in enumerate(row)),
        )
        for row in rows
    ]
    heads = tag("tr", *(cell("th", k, c, scope="col") for k, c in enumerate(head)))
    whole = tag("table", tag("thead", heads), tag("tbody", *body))
    return tag("div", whole, class_="scroll", role="region", aria_label=label, tabindex="0")


def bullets(items: Iterable[str], **attributes: str) -> Html:
    """Return a list."""
    return tag("ul", *(tag("li", item) for item in items), **attributes)


def section(title: str, *children: str) -> Html:
    """Return a section with an id for links."""
    name = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
    return tag("section", tag("h2", title, id=f"{name}-title"), *children, id=name)


def details(summary: str, *children: str) -> Html:
    """Return content that a click unfolds."""
    return tag("details", tag("summary", summary), *children)


def page(title: str, *children: str) -> str:
    """Return the whole document."""
    head = [
        Html('<meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        Html('<link rel="icon" href="data:,">'),
        tag("title", title),
        tag("style", Html(STYLE)),
    ]
    heading = Html(re.sub(r"([.:_])(?=\w)", r"\1<wbr>", escape(title, quote=False)))
    body = tag("main", tag("h1", heading), *children)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{join(head)}</head>\n<body>{body}</body></html>\n'


STYLE = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
