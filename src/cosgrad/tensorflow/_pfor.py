"""Vectorisation of the native operations in `tf.vectorized_map` and `tape.jacobian`.

One call computes all iterations. If ranks are unknown, TensorFlow uses a loop instead.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from cosgrad.tensorflow._native import OPERATIONS

_ATTRIBUTES = ("eps_bits", "negate", "skip_zero", "x_name", "y_name")


@pfor.RegisterPFor("DeviceIndex")
def _device_index(inputs: Any) -> Any:
    # TensorFlow marks this operation as stateful, but all iterations of a graph run on one device.
    return [pfor.wrap(tf.raw_ops.DeviceIndex(device_names=inputs.get_attr("device_names")), False)]


if "Bitcast" not in pfor._pfor_converter_registry:  # the closed forms use it to read exponents

    @pfor.RegisterPFor("Bitcast")
    def _bitcast(inputs: Any) -> Any:
        return [pfor.wrap(tf.bitcast(inputs.stacked_input(0), inputs.get_attr("type")), True)]


def _rank(inputs: Any, *indices: int) -> int:
    ranks = [inputs.op.inputs[i].shape.rank for i in indices]
    if None in ranks or max(ranks) == 0 or inputs.get_attr("axis") < 0:
        raise pfor.ConversionNotImplementedError("the rank is not known, or 0")
    return int(max(ranks))


def _stacked(inputs: Any, *indices: int) -> bool:
    return any(inputs.input(i).is_stacked for i in indices)


def _together(inputs: Any, *indices: int) -> None:
    """Stack all of these inputs if one of them is stacked."""
    if _stacked(inputs, *indices):
        inputs.stack_inputs(list(indices))


def _aligned(inputs: Any, index: int, rank: int) -> Any:
    """Return an input. If it is stacked, add axes of length 1 after the first, up to the given rank."""
    t, stacked, _ = inputs.input(index)
    missing = rank - inputs.op.inputs[index].shape.rank
    if not stacked or missing == 0:
        return t
    shape = tf.shape(t)
    return tf.reshape(t, tf.concat([shape[:1], tf.ones([missing], tf.int32), shape[1:]], 0))


def _run(inputs: Any, name: str, *tensors: Any) -> Any:
    known = {a.name for a in inputs.op.op_def.attr}
    options = {a: inputs.get_attr(a) for a in _ATTRIBUTES if a in known}
    options = {a: v.decode() if isinstance(v, bytes) else v for a, v in options.items()}
    return getattr(OPERATIONS, name)(*tensors, axis=inputs.get_attr("axis") + 1, **options)


def _wrapped(outputs: Any) -> Any:
    return [pfor.wrap(t, True) for t in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _cosine(name: str) -> Callable[[Any], Any]:
    def convert(inputs: Any) -> Any:
        rank = _rank(inputs, 0, 1)
        return _wrapped(_run(inputs, name, *(_aligned(inputs, i, rank) for i in (0, 1))))

    return convert


def _gradient(name: str, wanted: tuple[int, ...]) -> Callable[[Any], Any]:
    def convert(inputs: Any) -> Any:
        rank = _rank(inputs, 0, 1)
        inputs.stack_inputs([*wanted, 2])  # each iteration has its own gradients
        like = [inputs.input(i).t for i in wanted]
        x, y = (_aligned(inputs, i, rank) for i in (0, 1))
        out = _run(inputs, name, x, y, inputs.input(2).t)
        outs = out if isinstance(out, tuple) else (out,)
        return _wrapped(tuple(tf.reshape(t, tf.shape(u)) for t, u in zip(outs, like, strict=True)))

    return convert


def _tangent(inputs: Any) -> Any:
    rank = _rank(inputs, 0, 1)
    for pair in (0, 2), (1, 3):
        empty = inputs.op.inputs[pair[1]].shape == [0]  # an empty direction means zeros
        if not empty:
            _together(inputs, *pair)
        elif inputs.input(pair[1]).is_stacked:
            raise pfor.ConversionNotImplementedError("directions that are empty")
    tensors = [
        _aligned(inputs, i, rank) if inputs.op.inputs[i].shape != [0] else inputs.input(i).t for i in range(4)
    ]
    return _wrapped(_run(inputs, "cosgrad_tangent", *tensors))


def _normalize(name: str, *indices: int) -> Callable[[Any], Any]:
    def convert(inputs: Any) -> Any:
        _rank(inputs, 0)
        _together(inputs, *indices)
        return _wrapped(_run(inputs, name, *(inputs.input(i).t for i in indices)))

    return convert


for _type, _converter in {
    "CosgradSimilarity": _cosine("cosgrad_similarity"),
    "CosgradDistance": _cosine("cosgrad_distance"),
    "CosgradSimilarityAndDistance": _cosine("cosgrad_similarity_and_distance"),
    "CosgradGradient": _gradient("cosgrad_gradient", (0, 1)),
    "CosgradGradientX": _gradient("cosgrad_gradient_x", (0,)),
    "CosgradGradientY": _gradient("cosgrad_gradient_y", (1,)),
    "CosgradTangent": _tangent,
    "CosgradNormalize": _normalize("cosgrad_normalize", 0),
    "CosgradNormalizeGradient": _normalize("cosgrad_normalize_gradient", 0, 1),
}.items():
    pfor.RegisterPFor(_type)(_converter)
