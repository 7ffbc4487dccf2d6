"""The configuration of Sphinx. `build.py` runs Sphinx."""

import os
import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from numpy.typing import ArrayLike
from sphinx.util.logging import getLogger
from sphinx.util.typing import stringify_annotation

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cosgrad

logger = getLogger(__name__)
BAR = '<mo stretchy="false" lspace="0" rspace="0">|</mo>'  # the bar of a norm, not of a relation

project = "cosgrad"
author = project_copyright = "the cosgrad authors"
release = version = cosgrad.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["files"]
default_role = "code"
nitpick_ignore_regex = [("py:.*", "(?!cosgrad).*")]  # the types of other projects, which have no page here

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80

html_theme = "furo"
html_title = "cosgrad"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def mathml(translator, node):
    """Write a formula as MathML, which browsers display without JavaScript."""
    try:
        formula = tex2mathml(node.astext(), as_block=node.tagname == "math_block")
        translator.body.append(re.sub(r"<mo[^>]*>\|</mo>", BAR, formula))
    except MathError as error:
        logger.warning("%s in %s", error, node.astext(), location=node)
    raise SkipNode


def escape(app, what, name, obj, options, lines):  # noqa: ARG001 (Sphinx's arguments)
    """Escape |x| and x_ in docstrings, because reStructuredText reads them as markup."""
    code = False
    for i, line in enumerate(lines):
        code = bool(line.strip()) and (code or line.lstrip().startswith(">>>"))
        if not code:
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = (re.sub(r"(\||\*|_\b)", r"\\\1", part) for part in parts[::2])
            lines[i] = "".join(parts)


def shorten(app, what, name, obj, options, signature, returns):  # noqa: ARG001 (Sphinx's arguments)
    """Replace the expanded annotation of `numpy.typing.ArrayLike` by its name."""
    return signature and signature.replace(stringify_annotation(ArrayLike, "smart"), "ArrayLike"), returns


def setup(app):
    """Register the three functions above with Sphinx."""
    app.connect("autodoc-process-signature", shorten)
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("autodoc-process-docstring", escape, priority=100)
