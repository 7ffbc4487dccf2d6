"""The context that selects whether functions may use the native operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Forms:
    """How to compute: with the native operations if they can run, or only with closed forms."""

    only_closed: bool = False
    float64: bool = True
    """Whether closed forms compute float32 inputs in float64."""


_KERNEL: Final = Forms()
_forms: Final = ContextVar("cosgrad.tensorflow forms", default=_KERNEL)


def current() -> Forms:
    """Return the `Forms` of this context."""
    return _forms.get()


@contextmanager
def using(forms: Forms) -> Iterator[None]:
    """Set the `Forms` within the context."""
    token = _forms.set(forms)
    try:
        yield
    finally:
        _forms.reset(token)


@contextmanager
def closed_forms(*, float64: bool = True) -> Iterator[None]:
    r"""Use only TensorFlow's own operations within this context.

    A function that is traced within the context has no operations of cosgrad, and neither have its gradients.
    So its SavedModel runs in processes and servers without cosgrad, and TensorFlow Lite can convert it. The
    results are those of the closed forms: within 8 ulp and 2^-20 for S, instead of 0.501 ulp.

    A `tf.function` that was traced outside keeps its graphs. Trace, save and convert a new one within the
    context.

    Args:
        float64: If False, float32 inputs are computed in float32, for runtimes without float64 such as
            TensorFlow Lite's own. A small distance then has fewer digits.

    Example:
        >>> import tensorflow as tf
        >>> from cosgrad.tensorflow import cosine_similarity
        >>> rows = tf.TensorSpec((None, 3))
        >>> with closed_forms():
        ...     graph = tf.function(cosine_similarity).get_concrete_function(rows, rows).graph
        >>> any("Cosgrad" in node.op for node in graph.as_graph_def().node)
        False
    """
    with using(Forms(only_closed=True, float64=float64)):
        yield
