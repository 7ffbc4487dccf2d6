"""The native operations, and who runs them.

In eager mode the tensors tell the device. In a graph nobody knows it, nor whether XLA will compile the graph,
so both ways are written down and `DeviceIndex` chooses when it is known: the core on a CPU, the closed forms
elsewhere. Within `closed_forms()` there are the closed forms alone.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from cosgrad import _native
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.tensorflow._arguments import Names


def _load() -> Any:
    path = Path(_native.__file__).with_name("_tensorflow.so")
    if not path.exists():
        raise ImportError(
            "cosgrad.tensorflow needs the operations of cosgrad/_tensorflow.so, built on Linux only"
        )
    return tf.load_op_library(str(path))


OPERATIONS: Final = _load()
_COSINE: Final = {
    SIMILARITY: OPERATIONS.cosgrad_similarity,
    DISTANCE: OPERATIONS.cosgrad_distance,
    BOTH: OPERATIONS.cosgrad_similarity_and_distance,
}


@lru_cache
def eps_bits(eps: float) -> int:
    """Return a float64 as the integer of the same bits: kernels cannot read attributes of that type."""
    bits: int = struct.unpack("<q", struct.pack("<d", eps))[0]
    return bits


@lru_cache
def eps_of(bits: int) -> float:
    """Return what `eps_bits` was given."""
    eps: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return eps


def cosine(x: Any, y: Any, rule: Rule, names: Names) -> Any:
    """Return S, D or both."""
    out = _COSINE[rule.what](
        x,
        y,
        axis=rule.axis,
        eps_bits=eps_bits(rule.eps),
        x_name=names[0],
        y_name=names[1],
        skip_zero=rule.skip_zero,
    )
    return tuple(out) if rule.what == BOTH else out


def gradient(x: Any, y: Any, g: Any, rule: Rule, need_x: bool, need_y: bool) -> tuple[Any, ...]:
    """Return the gradients that are needed."""
    options = {
        "axis": rule.axis,
        "eps_bits": eps_bits(rule.eps),
        "negate": rule.negate,
        "skip_zero": rule.skip_zero,
    }
    if need_x and need_y:
        return tuple(OPERATIONS.cosgrad_gradient(x, y, g, **options))
    one = OPERATIONS.cosgrad_gradient_x if need_x else OPERATIONS.cosgrad_gradient_y
    return (one(x, y, g, **options),)


def tangent(x: Any, y: Any, u: Any, v: Any, rule: Rule) -> Any:
    """Return the derivative along (u, v); a direction of shape (0,) stands for zeros."""
    return OPERATIONS.cosgrad_tangent(
        x, y, u, v, axis=rule.axis, eps_bits=eps_bits(rule.eps), negate=rule.negate
    )


def normalize(x: Any, axis: int, eps: float) -> Any:
    """Return the unit vectors."""
    return OPERATIONS.cosgrad_normalize(x, axis=axis, eps_bits=eps_bits(eps))


def normalize_gradient(x: Any, g: Any, axis: int, eps: float) -> Any:
    """Return the product of g with the derivative of `normalize`."""
    return OPERATIONS.cosgrad_normalize_gradient(x, g, axis=axis, eps_bits=eps_bits(eps))


_only_closed: Final = ContextVar("only_closed", default=False)


@contextmanager
def closed_forms(only: bool = True) -> Iterator[None]:
    r"""Within this context, compute in TensorFlow's own operations alone.

    A function that is traced within holds no operation of cosgrad, and neither have its gradients. So a
    SavedModel of it runs in processes and servers without cosgrad, and TensorFlow Lite can convert it. The
    results are those of the closed forms: about 8 ulp and 2^-20 for S in place of 0.501 ulp.

    A `tf.function` that was traced outside keeps its graphs: trace, save and convert a new one within.

    Args:
        only: False computes by the kernel again, where it runs.

    Example:
        >>> function = tf.function(lambda x, y: cosgrad.tensorflow.cosine_similarity(x, y))
        >>> rows = tf.TensorSpec((None, 3))
        >>> with closed_forms():
        ...     graph = function.get_concrete_function(rows, rows).graph
        >>> any("Cosgrad" in node.op for node in graph.as_graph_def().node)
        False
    """
    token = _only_closed.set(only)
    try:
        yield
    finally:
        _only_closed.reset(token)


def only_closed() -> bool:
    """Tell whether only TensorFlow's own operations are to be used."""
    return _only_closed.get()


def runs_on(*tensors: Any) -> bool:
    """Tell whether this is eager mode and the core can read all these tensors where they are."""
    return tf.executing_eagerly() and not only_closed() and all("CPU" in t.device for t in tensors)


def choose(native: Callable[[], Any], closed: Callable[[], Any]) -> tuple[Any, ...]:
    """Return what the operations give where they run, and the closed forms elsewhere."""
    if tf.executing_eagerly() or only_closed():
        return tuple(closed())
    return tuple(tf.switch_case(tf.raw_ops.DeviceIndex(device_names=["CPU"]), [native, closed]))
