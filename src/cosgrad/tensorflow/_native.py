"""Calls of the native operations, and the choice between them and the closed forms.

In eager mode, the choice depends on the device of the tensors. During tracing, it is unknown on which device
the graph will run, and whether XLA will compile it. So the graph contains both, and the operation
`DeviceIndex` chooses at run time: the core on a CPU, the closed forms elsewhere. Within `closed_forms()`,
only the closed forms are used.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import tensorflow as tf

from cosgrad import _native
from cosgrad.closed import BOTH, DISTANCE, SIMILARITY, Rule
from cosgrad.tensorflow._arguments import Names
from cosgrad.tensorflow._state import current


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
    """Return the integer with the bits of a float64, since kernels cannot read float64 attributes."""
    bits: int = struct.unpack("<q", struct.pack("<d", eps))[0]
    return bits


@lru_cache
def eps_of(bits: int) -> float:
    """Return the float64 with the given bits: the inverse of `eps_bits`."""
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
    """Return the derivative along (u, v). A direction of shape (0,) means zeros."""
    return OPERATIONS.cosgrad_tangent(
        x, y, u, v, axis=rule.axis, eps_bits=eps_bits(rule.eps), negate=rule.negate
    )


def normalize(x: Any, axis: int, eps: float) -> Any:
    """Return the unit vectors."""
    return OPERATIONS.cosgrad_normalize(x, axis=axis, eps_bits=eps_bits(eps))


def normalize_gradient(x: Any, g: Any, axis: int, eps: float) -> Any:
    """Return the product of g with the derivative of `normalize`."""
    return OPERATIONS.cosgrad_normalize_gradient(x, g, axis=axis, eps_bits=eps_bits(eps))


def runs_on(*tensors: Any) -> bool:
    """Return whether this is eager mode and the core can read all tensors, that is, they are on the CPU."""
    return tf.executing_eagerly() and not current().only_closed and all("CPU" in t.device for t in tensors)


def choose(native: Callable[[], Any], closed: Callable[[], Any]) -> tuple[Any, ...]:
    """Return the results of the native operations if these can run, otherwise those of the closed forms."""
    if tf.executing_eagerly() or current().only_closed:
        return tuple(closed())
    return tuple(tf.switch_case(tf.raw_ops.DeviceIndex(device_names=["CPU"]), [native, closed]))
